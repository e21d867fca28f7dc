"""Who forms the island's voltage: inverters that share load by droop, in closed form and step by step.

Every forming inverter lowers its frequency with the active and its voltage with the reactive power that it measures
through a filter. Behind its reactance it meets the others at one bus:

    d(delta_i)/dt = 2 pi (f_set - fn - k_i (p_i - p_set_i)),   tau d(p_i)/dt = b_i (delta_i - theta) - p_i
    theta = (sum b delta - P) / sum b
    v_i = v_set - n_i q_i,   tau d(q_i)/dt = b_i (v_i - v) - q_i,   v = (sum b v - Q) / sum b

with the load P, Q drawn at the bus. The equations are linear for the small angles of a building or street, so a step
of any length is exact: one matrix exponential per length.

References
----------
M. Chandorkar, D. Divan, R. Adapa, Control of parallel connected inverters in standalone AC supply systems, IEEE Trans.
Ind. Appl. 29 (1993). J. Schiffer et al., Conditions for stability of droop-controlled inverter-based microgrids,
Automatica 50 (2014).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.linalg import expm

from node.controller.errors import InvalidRequest
from node.controller.network import FloatArray

# At its rating an inverter is 0.8 % slower and 2 % lower: the island stays inside 1 % and 5 % up to its ratings.
FREQUENCY_DROOP_PU: Final = 0.008
VOLTAGE_DROOP_PU: Final = 0.02
REACTANCE_PU: Final = 0.05
FILTER_S: Final = 0.03


@dataclass(frozen=True, slots=True)
class DroopIsland:
    """The forming inverters of an island; build with `form`.

    Parameters
    ----------
    rated_w : float64 (n,)
    hz_per_w : float64 (n,)
        Droop of each inverter.
    share : float64 (n,)
        Part of a sudden load that each takes at first, by reactance; sums to 1.
    total_w : float
        Of all ratings.
    step_s : float
        Length of one step.
    transition : float64 (2n, 3n + 1)
        The exact step of (angles, powers) from themselves, settings and load.
    v_transition : float64 (n, n + 1)
        The exact step of reactive powers from themselves and the load.
    """

    nominal_hz: float
    rated_w: FloatArray
    hz_per_w: FloatArray
    share: FloatArray
    total_w: float
    step_s: float
    transition: FloatArray
    v_transition: FloatArray

    @property
    def n(self) -> int:
        """Return the number of forming inverters."""
        return int(self.rated_w.size)


@dataclass(frozen=True, slots=True)
class DroopState:
    """Angles against each other and filtered powers, (n,) each, and what the bus shows."""

    angle_rad: FloatArray
    p_w: FloatArray
    q_var: FloatArray
    f_hz: float
    v_pu: float


def form(rated_w: FloatArray, nominal_hz: float, step_s: float = 0.01) -> DroopIsland:
    """Return an island formed by inverters of these ratings.

    Raises
    ------
    InvalidRequest
        If there is none, or a rating is not above zero.
    """
    if not rated_w.size or not np.all(rated_w > 0):
        raise InvalidRequest(f"an island needs inverters with ratings above zero, got {rated_w.tolist()}")
    n = rated_w.size
    k = FREQUENCY_DROOP_PU * nominal_hz / rated_w
    b = rated_w / REACTANCE_PU
    share = b / b.sum()
    meets = np.diag(b) - np.outer(b, share)  # angles -> powers, the load apart
    system = np.zeros((2 * n, 3 * n + 1))
    system[:n, n : 2 * n] = -2 * np.pi * np.diag(k)
    system[:n, 2 * n : 3 * n] = 2 * np.pi * np.diag(k)
    system[n:, :n] = meets / FILTER_S
    system[n:, n : 2 * n] = -np.eye(n) / FILTER_S
    system[n:, 3 * n] = share / FILTER_S
    droop = VOLTAGE_DROOP_PU / rated_w
    v_system = np.zeros((n, n + 1))
    v_system[:, :n] = (-meets * droop - np.eye(n)) / FILTER_S
    v_system[:, n] = share / FILTER_S
    return DroopIsland(
        nominal_hz, rated_w, k, share, float(rated_w.sum()), step_s,
        _exact(system, step_s), _exact(v_system, step_s),
    )  # fmt: skip


def _exact(system: FloatArray, step_s: float) -> FloatArray:
    """Return state and inputs, held over a step, to the next state: the top of one matrix exponential."""
    rows, columns = system.shape
    whole = np.zeros((columns, columns))
    whole[:rows] = system
    result: FloatArray = expm(whole * step_s)[:rows]
    return result


def at_rest(
    island: DroopIsland, set_w: FloatArray, load_w: float, load_var: float, f_set_hz: float
) -> DroopState:
    """Return the steady state in closed form.

    Parameters
    ----------
    set_w : float64 (n,)
        Power of each inverter at which it runs at `f_set_hz`.
    load_w, load_var : float
        What the island draws from its forming inverters, < 0: it has too much.

    Notes
    -----
    All run at one frequency, so k_i (p_i - set_i) is the same for all, and the p_i sum to the load:
    f = f_set - (load - sum set) / sum(1/k).
    """
    sag_hz = (load_w - float(set_w.sum())) / float((1.0 / island.hz_per_w).sum())
    p_w = set_w + sag_hz / island.hz_per_w
    b = island.rated_w / REACTANCE_PU
    angle = p_w / b
    # By reactance and droop alike every inverter carries reactive power in proportion to its rating.
    q_var = load_var * island.share
    v_pu = 1.0 - (VOLTAGE_DROOP_PU + REACTANCE_PU) * load_var / island.total_w
    return DroopState(angle - float(island.share @ angle), p_w, q_var, f_set_hz - sag_hz, v_pu)


def advanced(
    island: DroopIsland, state: DroopState, set_w: FloatArray, load_w: float, load_var: float, f_set_hz: float
) -> DroopState:
    """Return the state after one step with load and settings held.

    Parameters
    ----------
    See `at_rest`.
    """
    n = island.n
    x = island.transition @ np.concatenate((state.angle_rad, state.p_w, set_w, (load_w,)))
    q_var = island.v_transition @ np.concatenate((state.q_var, (load_var,)))
    angle, p_w = x[:n], x[n:]
    # k_i is one constant over the rating, as the share is the rating over their sum: both means need no division.
    sag_hz = FREQUENCY_DROOP_PU * island.nominal_hz * float((p_w - set_w).sum()) / island.total_w
    droop_pu = VOLTAGE_DROOP_PU * float(q_var.sum()) / island.total_w
    v_pu = 1.0 - droop_pu - REACTANCE_PU * load_var / island.total_w
    return DroopState(angle - float(island.share @ angle), p_w, q_var, f_set_hz - sag_hz, v_pu)
