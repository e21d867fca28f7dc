"""Ageing of batteries: calendar and cycle laws in closed form, accumulated exactly under changing stress.

| law | capacity fade | resistance rise |
|---|---|---|
| LFP (Naumann) calendar | k(T)·(C·(s - 0.5)³ + D)·t^0.5 | k(T)·(C·(s - 0.5)² + D)·t |
| LFP (Naumann) cycle | (A·c + B)·(C·(d - 0.6)³ + D)·F^0.5 / 100 | (A·c + B)·(C·(d - 0.5)³ + D)·F / 100 |
| NMC (Schmalstieg) calendar | (7.543·v - 23.75)·1e6·exp(-6976/T)·t^0.75, t in days | the like |
| NMC (Schmalstieg) cycle | (7.348e-3·(v - 3.667)² + 7.6e-4 + 4.081e-3·d)·Q^0.5 | the like, in Q |

s state of charge, T kelvin, t seconds, d depth of the half cycle, c its C-rate, F full equivalent cycles, v
cell voltage, Q charge moved in Ah. Every law is k·x^p: under changing k, (fade/k)^(1/p) is the "virtual"
time that would have led to the present fade, so fade' = (fade^(1/p) + k^(1/p)·Δx)^p: exact for piecewise
constant stress.

References
----------
M. Naumann, M. Schimpe, P. Keil, H. Hesse, A. Jossen, Analysis and modeling of calendar aging of a commercial
LiFePO4/graphite cell, Journal of Energy Storage 17 (2018) 153–169, doi:10.1016/j.est.2018.01.019.
M. Naumann, F. Spingler, A. Jossen, Analysis and modeling of cycle aging of a commercial LiFePO4/graphite
cell, Journal of Power Sources 451 (2020) 227666, doi:10.1016/j.jpowsour.2019.227666. J. Schmalstieg, S.
Käbitz, M. Ecker, D. Sauer, A holistic aging model for Li(NiMnCo)O2 based 18650 lithium-ion batteries,
Journal of Power Sources 257 (2014) 325–334, doi:10.1016/j.jpowsour.2014.02.012.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from devices.arrays import FloatArray

GAS_CONSTANT_J_PER_MOL_K: Final = 8.314462618
REFERENCE_K: Final = 298.15
KELVIN_AT_0_C: Final = 273.15
SECONDS_PER_DAY: Final = 86_400.0


@dataclass(frozen=True, slots=True)
class NaumannLaw:
    """One of Naumann's laws (capacity or resistance): the parameters as published.

    Attributes
    ----------
    k_ref, activation_j_per_mol, c_cal, d_cal : calendar; k_ref in s^-0.5 (capacity) or 1/s (resistance)
    a_cyc, b_cyc, c_cyc, d_cyc : cycle, in percent
    calendar_power, cycle_power : exponents of time and of full equivalent cycles
    soc_power, depth_centre : exponent of (s - 0.5), centre of the depth polynomial
    """

    k_ref: float
    activation_j_per_mol: float
    c_cal: float
    d_cal: float
    a_cyc: float
    b_cyc: float
    c_cyc: float
    d_cyc: float
    calendar_power: float
    cycle_power: float
    soc_power: int
    depth_centre: float

    def calendar_rate(self, soc_pu: FloatArray, temp_c: FloatArray) -> FloatArray:
        """Return k of fade = k·t^p, t in seconds."""
        inverse = 1.0 / (np.asarray(temp_c) + KELVIN_AT_0_C) - 1.0 / REFERENCE_K
        arrhenius = np.exp(-self.activation_j_per_mol / GAS_CONSTANT_J_PER_MOL_K * inverse)
        stress = self.c_cal * (np.asarray(soc_pu) - 0.5) ** self.soc_power + self.d_cal
        return np.maximum(self.k_ref * arrhenius * stress, 0.0)

    def cycle_rate(self, c_rate_per_h: FloatArray, depth_pu: FloatArray) -> FloatArray:
        """Return k of fade = k·F^p, F in full equivalent cycles."""
        current = self.a_cyc * np.asarray(c_rate_per_h) + self.b_cyc
        depth = self.c_cyc * (np.asarray(depth_pu) - self.depth_centre) ** 3 + self.d_cyc
        return np.maximum(current, 0.0) * np.maximum(depth, 0.0) / 100.0


NAUMANN_CAPACITY: Final = NaumannLaw(
    1.2571e-5, 17126.0, 2.8575, 0.60225, 0.0630, 0.0971, 4.0253, 1.0923, 0.5, 0.5, 3, 0.6
)
NAUMANN_RESISTANCE: Final = NaumannLaw(
    3.4194e-10, 71827.0, -3.3903, 1.5604, -0.0020, 0.0021, 6.8477, 0.9182, 1.0, 1.0, 2, 0.5
)


def schmalstieg_calendar_rate(voltage_v: FloatArray, temp_c: FloatArray, is_resistance: bool) -> FloatArray:
    """Return k of fade = k·t^0.75, t in days, for NMC cells at a voltage."""
    kelvin = np.asarray(temp_c) + KELVIN_AT_0_C
    v = np.asarray(voltage_v)
    if is_resistance:
        return np.maximum((5.270 * v - 16.32) * 1e5 * np.exp(-5986.0 / kelvin), 0.0)
    return np.maximum((7.543 * v - 23.75) * 1e6 * np.exp(-6976.0 / kelvin), 0.0)


def schmalstieg_cycle_rate(
    mean_voltage_v: FloatArray, depth_pu: FloatArray, is_resistance: bool
) -> FloatArray:
    """Return k of fade = k·Q^0.5 (capacity) or k·Q (resistance), Q in Ah of the 2.15 Ah cell measured."""
    v = np.asarray(mean_voltage_v)
    d = np.asarray(depth_pu)
    if is_resistance:
        return np.maximum(2.153e-4 * (v - 3.725) ** 2 - 1.521e-5 + 2.798e-4 * d, 0.0)
    return 7.348e-3 * (v - 3.667) ** 2 + 7.600e-4 + 4.081e-3 * d


# Charge of one full equivalent cycle (both directions) of the cell the NMC law was measured on.
SCHMALSTIEG_AH_PER_CYCLE: Final = 2.0 * 2.15
SCHMALSTIEG_CALENDAR_POWER: Final = 0.75


def accumulate(
    fade: FloatArray, rate: FloatArray, amount: FloatArray | float, power: FloatArray | float
) -> FloatArray:
    """Return the fade after `amount` more of time or charge at a stress: (fade^(1/p) + rate^(1/p)·amount)^p."""
    inverse = 1.0 / np.asarray(power)
    grown: FloatArray = (fade**inverse + rate**inverse * amount) ** power
    return grown
