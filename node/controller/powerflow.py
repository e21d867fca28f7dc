"""Three-phase power flow of a radial feeder: exact backward-forward sweep, and its linearisation.

| symbol | name in code | meaning |
|---|---|---|
| V | `v_v` | phase-to-neutral voltage of a bus, complex, V |
| I | `i_a` | current in the branch above a bus, towards the leaves, complex, A |
| Z | `z_ohm` | 3 x 3 impedance of that branch, complex, ohm |
| S | `s_va` | power a load draws at its nominal power, complex, VA; negative injects |

Many cases (minutes of a day) are solved at once: every sweep is a handful of array operations per level of the
tree.

Notes
-----
Backward: branch currents are sums of load currents below, I_load = conj(S(V) / V). Forward: V_child = V_parent -
Z I. Repeated until no voltage moves by more than `tolerance_v`; on a loaded low-voltage feeder that takes 5 to 8
sweeps. One sweep from the no-load voltages is the linearisation (voltage drops linear in power).

A load is constant power between `v_min_pu` and `v_max_pu` of its rated voltage and constant impedance outside,
continuous at both ends; the default band never ends. With ZIP shares its power inside the band is
S·(Z·v² + I·v + 1 - Z - I), v per unit of the rated voltage.

References
----------
W. H. Kersting, Distribution System Modeling and Analysis, 4th ed. (2017), chapters 4, 10; R. D. Zimmerman, H.-D.
Chiang, Fast decoupled power flow for unbalanced radial distribution systems, IEEE Trans. Power Systems 10 (1995).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from node.controller.errors import ControllerError, InvalidNetwork
from node.controller.network import IntArray

ComplexArray = NDArray[np.complex128]
FloatArray = NDArray[np.float64]

MAX_SWEEPS = 100
# One third of a turn: phases are 120 degrees apart.
ALPHA = np.exp(2j * np.pi / 3)


class DoesNotConverge(ControllerError):
    """The feeder cannot carry these loads: voltages collapse instead of settling."""


@dataclass(frozen=True, slots=True)
class Feeder:
    """A radial three-phase feeder; bus 0 is the stiff source.

    Parameters
    ----------
    parent : int64 (n_buses,)
        Bus above, smaller than the bus's own; -1 for bus 0.
    z_ohm : complex (n_buses, 3, 3)
        Impedance of the branch to the parent; unused for bus 0.
    source_v : complex (3,)
        Phase-to-neutral voltages of bus 0.

    Raises
    ------
    InvalidNetwork
        If bus 0 is not the only root or a parent does not come first.
    """

    parent: IntArray
    z_ohm: ComplexArray
    source_v: ComplexArray

    def __post_init__(self) -> None:
        n = self.parent.size
        if self.z_ohm.shape != (n, 3, 3) or self.source_v.shape != (3,):
            raise InvalidNetwork(f"z_ohm has shape {self.z_ohm.shape}, expected ({n}, 3, 3); source_v (3,)")
        wrong = np.flatnonzero((self.parent >= np.arange(n)) | (self.parent < 0))
        if n == 0 or wrong.size == 0 or wrong[0] != 0 or wrong.size > 1 or self.parent[0] != -1:
            raise InvalidNetwork(
                "bus 0 must be the one root (parent -1), every other parent must come before its bus"
            )


@dataclass(frozen=True, slots=True)
class PhaseLoads:
    """Single-phase loads; a three-phase load is three of them.

    Parameters
    ----------
    bus, phase : int64 (n_loads,)
        Phase 0, 1 or 2.
    s_va : complex (n_loads, n_cases)
        Power drawn, > 0 consumes.
    rated_v : float
        Rated phase-to-neutral voltage.
    v_min_pu, v_max_pu : float
        Band of constant power.
    impedance_share, current_share : float64 (n_loads, 1) or float
        ZIP shares; the rest is constant power.
    """

    bus: IntArray
    phase: IntArray
    s_va: ComplexArray
    rated_v: float
    v_min_pu: float = 0.0
    v_max_pu: float = np.inf
    impedance_share: FloatArray | float = 0.0
    current_share: FloatArray | float = 0.0

    def power_va(self, v_v: ComplexArray) -> ComplexArray:
        """Return what the loads draw at a voltage, (n_loads, n_cases) VA."""
        magnitude = np.abs(v_v)
        edge = np.clip(magnitude, self.v_min_pu * self.rated_v, self.v_max_pu * self.rated_v)
        # Outside the band S grows with the square of the voltage: constant impedance, continuous at the edge.
        power: ComplexArray = self.s_va * (magnitude / edge) ** 2
        if np.any(self.impedance_share) or np.any(self.current_share):
            v = edge / self.rated_v
            rest = 1.0 - self.impedance_share - self.current_share
            power = power * ((self.impedance_share * v + self.current_share) * v + rest)
        return power


@dataclass(frozen=True, slots=True)
class Flow:
    """A solved feeder.

    Parameters
    ----------
    v_v : complex (n_buses, 3, n_cases)
    i_a : complex (n_buses, 3, n_cases)
        Current in the branch above each bus; bus 0: what the source delivers.
    n_sweeps : int
    """

    v_v: ComplexArray
    i_a: ComplexArray
    n_sweeps: int

    def loss_w(self, feeder: Feeder) -> FloatArray:
        """Return the loss in each branch, (n_buses, n_cases) W; 0 for bus 0."""
        drop = np.einsum("bij,bjc->bic", feeder.z_ohm[1:], self.i_a[1:])
        loss = np.zeros((self.i_a.shape[0], self.i_a.shape[2]))
        loss[1:] = np.einsum("bic,bic->bc", drop, self.i_a[1:].conj()).real
        return loss

    def source_va(self) -> ComplexArray:
        """Return what the source delivers, (n_cases,) VA."""
        power: ComplexArray = np.sum(self.v_v[0] * self.i_a[0].conj(), axis=0)
        return power


def phase_impedance_ohm(z1_ohm: ComplexArray, z0_ohm: ComplexArray) -> ComplexArray:
    """Return phase impedances of transposed lines from their sequence impedances.

    Parameters
    ----------
    z1_ohm, z0_ohm : complex (n,)
        Positive (= negative) and zero sequence.

    Returns
    -------
    complex (n, 3, 3)
    """
    own, mutual = (2 * z1_ohm + z0_ohm) / 3, (z0_ohm - z1_ohm) / 3
    z_ohm = np.empty((z1_ohm.size, 3, 3), np.complex128)
    z_ohm[:] = mutual[:, None, None]
    z_ohm[:, range(3), range(3)] = own[:, None]
    return z_ohm


def balanced_v(phase_v: float) -> ComplexArray:
    """Return three balanced phase voltages, (3,) V."""
    turns: ComplexArray = np.array([1.0, ALPHA**2, ALPHA], np.complex128)
    return phase_v * turns


def solve(
    feeder: Feeder, loads: PhaseLoads, tolerance_v: float = 1e-6, source_pu: FloatArray | float = 1.0
) -> Flow:
    """Solve a feeder for all cases at once.

    Parameters
    ----------
    source_pu : float or float64 (n_cases,)
        Voltage of the source in each case, of the feeder's `source_v`: the positions of a tap changer there.

    Raises
    ------
    DoesNotConverge
        If voltages do not settle.
    """
    levels = _levels(feeder.parent)
    n_cases = loads.s_va.shape[1]
    source_v = feeder.source_v[:, None] * np.asarray(source_pu, np.float64)
    v = np.broadcast_to(source_v[None], (feeder.parent.size, 3, n_cases)).copy()
    for sweep in range(1, MAX_SWEEPS + 1):
        i = _backward(feeder, levels, loads, v)
        moved = _forward(feeder, levels, v, i)
        if not np.isfinite(moved):
            break
        if moved <= tolerance_v:
            return Flow(v, _backward(feeder, levels, loads, v), sweep)
    raise DoesNotConverge(
        f"voltages still move after {MAX_SWEEPS} sweeps: the feeder cannot carry these loads"
    )


def linearise(feeder: Feeder, loads: PhaseLoads) -> Flow:
    """Solve with load currents at no-load voltage: one sweep, linear in power."""
    levels = _levels(feeder.parent)
    shape = (feeder.parent.size, 3, loads.s_va.shape[1])
    v = np.broadcast_to(feeder.source_v[None, :, None], shape).copy()
    i = _backward(feeder, levels, loads, v)
    _forward(feeder, levels, v, i)
    return Flow(v, i, 1)


def _levels(parent: IntArray) -> list[IntArray]:
    depth = np.zeros(parent.size, np.int64)
    for bus in range(1, parent.size):
        depth[bus] = depth[parent[bus]] + 1
    order = np.argsort(depth, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(depth[order])) + 1)


def _backward(feeder: Feeder, levels: list[IntArray], loads: PhaseLoads, v: ComplexArray) -> ComplexArray:
    i = np.zeros_like(v)
    np.add.at(i, (loads.bus, loads.phase), load_current_a(loads, v[loads.bus, loads.phase]))
    for buses in levels[:0:-1]:
        # Several buses of one level may share a parent: add them one by one.
        np.add.at(i, feeder.parent[buses], i[buses])
    return i


def _forward(feeder: Feeder, levels: list[IntArray], v: ComplexArray, i: ComplexArray) -> float:
    moved = 0.0
    for buses in levels[1:]:
        fresh = v[feeder.parent[buses]] - np.einsum("bij,bjc->bic", feeder.z_ohm[buses], i[buses])
        moved = max(moved, float(np.abs(fresh - v[buses]).max(initial=0.0)))
        v[buses] = fresh
    return moved


def load_current_a(loads: PhaseLoads, v_v: ComplexArray) -> ComplexArray:
    """Return the current loads draw at a voltage, (n_loads, n_cases) A."""
    current: ComplexArray = (loads.power_va(v_v) / v_v).conj()
    return current
