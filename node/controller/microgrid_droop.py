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
    step_s : float
        Length of one step.
    transition, from_set, from_load : the exact step of (delta, p): (2n, 2n), (2n, n), (2n,)
    v_transition, v_from_load : the exact step of q: (n, n), (n,)
    """

    nominal_hz: float
    rated_w: FloatArray
    hz_per_w: FloatArray
    share: FloatArray
    step_s: float
    transition: FloatArray
    from_set: FloatArray
    from_load: FloatArray
    v_transition: FloatArray
    v_from_load: FloatArray

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
    step = _exact(system, step_s)
    droop = VOLTAGE_DROOP_PU / rated_w
    v_system = np.zeros((n, n + 1))
    v_system[:, :n] = (-meets * droop - np.eye(n)) / FILTER_S
    v_system[:, n] = share / FILTER_S
    v_step = _exact(v_system, step_s)
    return DroopIsland(
        nominal_hz, rated_w, k, share, step_s,
        step[:, : 2 * n], step[:, 2 * n : 3 * n], step[:, 3 * n], v_step[:, :n], v_step[:, n],
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
    total = float(island.rated_w.sum())
    v_pu = 1.0 - (VOLTAGE_DROOP_PU + REACTANCE_PU) * load_var / total
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
    x = island.transition @ np.concatenate((state.angle_rad, state.p_w))
    x += island.from_set @ set_w
    x += island.from_load * load_w
    q_var = island.v_transition @ state.q_var + island.v_from_load * load_var
    angle, p_w = x[:n], x[n:]
    sag_hz = float(island.share @ (island.hz_per_w * (p_w - set_w)))
    total = float(island.rated_w.sum())
    droop_pu = VOLTAGE_DROOP_PU * float(island.share @ (q_var / island.rated_w))
    v_pu = 1.0 - droop_pu - REACTANCE_PU * load_var / total
    return DroopState(angle - float(island.share @ angle), p_w, q_var, f_set_hz - sag_hz, v_pu)
