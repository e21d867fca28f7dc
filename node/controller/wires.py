"""Devices on their wires: which phase of which bus each hangs at, what voltage it sees, what the lines lose."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from node.controller.network import FloatArray, IntArray, sum_by
from node.controller.powerflow import Feeder, Flow, PhaseLoads, solve

# A customer's voltage to a thousandth of what a tap changes is exact enough for control and loads.
TOLERANCE_V = 1e-3


@dataclass(frozen=True, slots=True)
class Wires:
    """A feeder and the terminals of devices on it; a three-phase device has three terminals.

    Parameters
    ----------
    feeder : Feeder
    bus_names : names of its buses, for people
    rated_v : float
        Phase to neutral.
    device, bus, phase : int64 (n_terminals,)
    part : float64 (n_terminals,)
        Share of the device's power: 1, or a third each.
    reactive_share : float64 (n_devices,)
        Q/P of what the device draws.
    impedance_share, current_share, rebound_ratio : float64 (n_terminals, 1)
        Of loads: ZIP shares, and τ/τ_r of thermostats (see `voltage`).
    is_solar : bool (n_devices,)
    """

    feeder: Feeder
    bus_names: tuple[str, ...]
    rated_v: float
    device: IntArray
    bus: IntArray
    phase: IntArray
    part: FloatArray
    reactive_share: FloatArray
    impedance_share: FloatArray
    current_share: FloatArray
    rebound_ratio: FloatArray
    is_solar: NDArray[np.bool_]

    @property
    def n_devices(self) -> int:
        """Number of devices."""
        return int(self.is_solar.size)

    def at_any_voltage(self, p_w: FloatArray) -> PhaseLoads:
        """Return powers that do not depend on voltage, as measured, as loads of the feeder.

        Parameters
        ----------
        p_w : float64 (n_devices, n_cases)
            > 0 injects.
        """
        drawn_w = -p_w[self.device] * self.part[:, None]
        s_va = drawn_w * (1.0 + 1j * self.reactive_share[self.device][:, None])
        return PhaseLoads(self.bus, self.phase, s_va, self.rated_v)

    def by_voltage(self, rated_w: FloatArray) -> PhaseLoads:
        """Return powers at rated voltage, which follow the voltage by their ZIP shares; sign as above."""
        plain = self.at_any_voltage(rated_w)
        return PhaseLoads(
            plain.bus,
            plain.phase,
            plain.s_va,
            self.rated_v,
            impedance_share=self.impedance_share,
            current_share=self.current_share,
        )

    def voltage_share(self, v_pu: FloatArray) -> FloatArray:
        """Return the power of devices at their voltage over that at rated voltage, (n_devices,)."""
        z, i = self.impedance_share[:, 0], self.current_share[:, 0]
        v = v_pu[self.device]
        return self.mean((z * v + i) * v + 1.0 - z - i)

    def solve(self, loads: PhaseLoads, source_pu: FloatArray | float) -> tuple[Flow, FloatArray]:
        """Solve for loads; return the flow and the voltage at every terminal, (n_terminals, n_cases)."""
        flow = solve(self.feeder, loads, TOLERANCE_V, source_pu)
        return flow, np.abs(flow.v_v[self.bus, self.phase]) / self.rated_v

    def mean(self, terminal: FloatArray) -> FloatArray:
        """Return the mean over each device's terminals, (n_devices,)."""
        return sum_by(self.device, terminal * self.part, self.n_devices)
