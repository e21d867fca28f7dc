"""Supercapacitors: capacitance that grows with voltage, series resistance, leakage.

| symbol | name in code | meaning |
|---|---|---|
| C(V) = C0 + C1·V | `c0_f`, `c1_f_per_v` | differential capacitance dQ/dV |
| E(V) = C0·V²/2 + C1·V³/3 | `energy_j` | stored energy |
| R | `series_ohm` | equivalent series resistance |
| R_l | `leakage_ohm` | parallel leakage |
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from devices.arrays import FloatArray
from devices.errors import BadTable
from devices.storage_tables import TEMPERATURE_POINTS, StorageTable, energy_grid

JOULE_PER_WH: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Supercapacitor:
    """One cell or bank.

    Attributes
    ----------
    name : str
    c0_f, c1_f_per_v : float
        Differential capacitance at 0 V, and its slope.
    series_ohm : float
    leakage_ohm : float
    v_max : float
        Rated voltage, V: full.
    v_min : float
        Lowest voltage at which the converter still works, V: below it nothing is delivered.
    """

    name: str
    c0_f: float
    c1_f_per_v: float
    series_ohm: float
    leakage_ohm: float
    v_max: float
    v_min: float

    def __post_init__(self) -> None:
        if not (self.c0_f > 0.0 and self.c0_f + self.c1_f_per_v * self.v_max > 0.0):
            raise BadTable(f"supercapacitor {self.name}: capacitance must be positive up to v_max")
        if not (0.0 < self.v_min < self.v_max and self.series_ohm >= 0.0 and self.leakage_ohm > 0.0):
            raise BadTable(f"supercapacitor {self.name}: 0 < v_min < v_max, resistances must be positive")

    def charge_c(self, v: FloatArray | float) -> FloatArray:
        """Return the charge, coulomb, at voltages v."""
        v = np.asarray(v, dtype=np.float64)
        return self.c0_f * v + 0.5 * self.c1_f_per_v * v * v

    def voltage_v(self, charge_c: FloatArray | float) -> FloatArray:
        """Return the voltage at charges; inverse of `charge_c`, stable for a vanishing slope."""
        q = np.maximum(np.asarray(charge_c, dtype=np.float64), 0.0)
        return 2.0 * q / (self.c0_f + np.sqrt(self.c0_f**2 + 2.0 * self.c1_f_per_v * q))

    def energy_j(self, v: FloatArray | float) -> FloatArray:
        """Return the stored energy, J, at voltages v."""
        v = np.asarray(v, dtype=np.float64)
        return v * v * (0.5 * self.c0_f + self.c1_f_per_v * v / 3.0)

    def usable_from_pu(self) -> float:
        """Return the energy at `v_min` over the energy at `v_max`."""
        return float(self.energy_j(self.v_min) / self.energy_j(self.v_max))

    def storage_table(self) -> StorageTable:
        """Return the capacitor over its energy.

        Notes
        -----
        Leakage V²/R_l is taken as proportional to energy, at its value when full: exact for C1 = 0.
        Below `v_min` the bank is refilled as at `v_min` (a pre-charge circuit does it in hardware).
        """
        v_fine = np.linspace(0.0, self.v_max, 8193)
        full_j = float(self.energy_j(self.v_max))
        v = np.interp(energy_grid(), self.energy_j(v_fine) / full_j, v_fine)
        v = np.maximum(v, self.v_min)
        full_wh = full_j / JOULE_PER_WH
        resistance = np.broadcast_to(
            self.series_ohm * full_wh / (v * v), (2, TEMPERATURE_POINTS, v.size)
        ).copy()
        headroom = np.stack([(v - self.v_min) / v, (self.v_max - v) / v])
        if self.series_ohm == 0.0:
            headroom[:] = 0.5
        return StorageTable(
            name=self.name,
            emf_pu=v / self.v_max,
            resistance_h=resistance,
            headroom_pu=headroom,
            power_limit_per_h=(3600.0, 3600.0),
            standing_sqrt_per_h=0.0,
            standing_linear_per_h=self.v_max**2 / self.leakage_ohm / full_wh,
            heat_capacity_wh_per_k=0.51 * 1000.0 / JOULE_PER_WH / 3.04,
            cooling_time_s=1800.0,
            temperature_limits_c=((-40.0, 65.0), (-40.0, 65.0)),
        )


def bank_cell() -> Supercapacitor:
    """Return a 3000 F, 2.7 V power cell as used in banks.

    Notes
    -----
    0.29 mohm, 5.2 mA leakage at 2.7 V, 3.04 Wh and 0.51 kg are data-sheet values of such cells (Maxwell
    BCAP3000); a capacitance that grows by about a fifth up to rated voltage is usual for activated carbon:
    C(2.7 V) = 3000 F is kept as the mean over the usable range. Converters work down to half the voltage.
    """
    c1 = 220.0
    # C0 from E(v_max) - E(v_min) = 3000/2·(v_max² - v_min²): rated capacitance is measured over that range.
    v_max, v_min = 2.7, 1.35
    mean_v = (2.0 / 3.0) * (v_max**3 - v_min**3) / (v_max**2 - v_min**2)
    return Supercapacitor("3000 F bank", 3000.0 - c1 * mean_v, c1, 0.29e-3, 2.7 / 5.2e-3, v_max, v_min)
