"""Battery cells: open-circuit voltage and resistance tables, and what they make of a pack.

| symbol | name in code | meaning |
|---|---|---|
| s | `soc_pu` | state of charge by charge: Ah in the cell over its capacity |
| e | energy_pu | by energy: e(s) = integral of v over 0..s, divided by the one over 0..1 |
| v | `ocv_v` | open-circuit voltage |
| R | `resistance_ohm` | V = v - R·I discharging, v + R·I charging |
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from devices.arrays import FloatArray
from devices.data import molicel_nmc, sony_lfp
from devices.errors import BadTable
from devices.storage_tables import StorageTable, energy_grid, temperature_grid_c

KELVIN_AT_0_C: Final = 273.15
SECONDS_PER_HOUR: Final = 3600.0
# A measured curve may fall by its noise on a plateau.
MEASUREMENT_NOISE_V: Final = 1e-3


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell: measured tables and ratings.

    Attributes
    ----------
    name : str
    capacity_ah : float
    ocv_soc_pu, ocv_v : (k,) float64
        Rising state of charge from 0 to 1, and the open-circuit voltage there.
    resistance_soc_pu : (j,) float64
    resistance_temp_c : (t,) float64
    charge_resistance_ohm, discharge_resistance_ohm : (t, j) float64
    v_min, v_max : float
        Voltage limits at the terminals, V.
    charge_c_rate, discharge_c_rate : float
        Largest continuous current over capacity, 1/h.
    mass_kg, heat_capacity_j_per_kg_k, cooling_time_s : float
        Thermal node of a cell in a pack.
    self_discharge_per_month : float
        Share of the energy lost in 30 days.
    charge_temp_c, discharge_temp_c : (float, float)
        Temperature limits.
    """

    name: str
    capacity_ah: float
    ocv_soc_pu: FloatArray
    ocv_v: FloatArray
    resistance_soc_pu: FloatArray
    resistance_temp_c: FloatArray
    charge_resistance_ohm: FloatArray
    discharge_resistance_ohm: FloatArray
    v_min: float
    v_max: float
    charge_c_rate: float
    discharge_c_rate: float
    mass_kg: float
    heat_capacity_j_per_kg_k: float
    cooling_time_s: float
    self_discharge_per_month: float
    charge_temp_c: tuple[float, float]
    discharge_temp_c: tuple[float, float]

    def __post_init__(self) -> None:
        for grid, what in ((self.ocv_soc_pu, "ocv"), (self.resistance_soc_pu, "resistance")):
            if grid.size < 2 or grid[0] != 0.0 or grid[-1] != 1.0 or np.any(np.diff(grid) <= 0.0):
                raise BadTable(f"cell {self.name}: {what} states of charge must rise from 0 to 1")
        if np.any(np.diff(self.ocv_v) < -MEASUREMENT_NOISE_V):
            raise BadTable(f"cell {self.name}: open-circuit voltage must not fall with state of charge")
        shape = (self.resistance_temp_c.size, self.resistance_soc_pu.size)
        if self.charge_resistance_ohm.shape != shape or self.discharge_resistance_ohm.shape != shape:
            raise BadTable(f"cell {self.name}: resistances need shape {shape}")

    def open_circuit_v(self, soc_pu: FloatArray) -> FloatArray:
        """Return the open-circuit voltage, V, at states of charge in [0, 1]; exact at the table's points."""
        return np.interp(soc_pu, self.ocv_soc_pu, self.ocv_v)

    def resistance_ohm(self, soc_pu: FloatArray, temp_c: float, is_charging: bool) -> FloatArray:
        """Return the resistance, ohm; bilinear, exact at the table's points, constant outside them."""
        table = self.charge_resistance_ohm if is_charging else self.discharge_resistance_ohm
        columns = np.stack([np.interp(soc_pu, self.resistance_soc_pu, row) for row in table])
        position = np.interp(temp_c, self.resistance_temp_c, np.arange(self.resistance_temp_c.size))
        low = min(int(position), self.resistance_temp_c.size - 2) if self.resistance_temp_c.size > 1 else 0
        high = min(low + 1, self.resistance_temp_c.size - 1)
        resistance: FloatArray = columns[low] + (position - low) * (columns[high] - columns[low])
        return resistance

    def terminal_v(self, soc_pu: FloatArray, current_a: FloatArray, temp_c: float) -> FloatArray:
        """Return the terminal voltage, V, for a current > 0 discharging."""
        resistance = np.where(
            np.asarray(current_a) > 0.0,
            self.resistance_ohm(soc_pu, temp_c, is_charging=False),
            self.resistance_ohm(soc_pu, temp_c, is_charging=True),
        )
        voltage: FloatArray = self.open_circuit_v(soc_pu) - resistance * current_a
        return voltage

    def energy_wh(self) -> float:
        """Return the energy at open-circuit voltage between empty and full, Wh."""
        return self.capacity_ah * float(np.trapezoid(self.ocv_v, self.ocv_soc_pu))

    def energy_pu_of_soc(self, soc_pu: FloatArray) -> FloatArray:
        """Return the energy over the full energy at states of charge by charge."""
        fine = np.union1d(self.ocv_soc_pu, np.linspace(0.0, 1.0, 4001))
        v = self.open_circuit_v(fine)
        energy = np.zeros(fine.size)
        np.cumsum(0.5 * (v[1:] + v[:-1]) * np.diff(fine), out=energy[1:])
        total = float(energy[-1])
        return np.interp(soc_pu, fine, energy / total)

    def soc_of_energy_pu(self, energy_pu: FloatArray) -> FloatArray:
        """Return the state of charge by charge at energies over the full energy; inverse of the above."""
        fine = np.union1d(self.ocv_soc_pu, np.linspace(0.0, 1.0, 4001))
        return np.interp(energy_pu, self.energy_pu_of_soc(fine), fine)

    def storage_table(self) -> StorageTable:
        """Return the cell over its energy, per Wh of capacity: packs of any size follow by scaling.

        Notes
        -----
        N = capacity / cell energy cells share the power p, so each carries I = p / (N·v) and the pack loses
        N·R·I² = (R·cell energy / v²) · p² / capacity: series or parallel makes no difference.
        """
        soc = self.soc_of_energy_pu(energy_grid())
        v = self.open_circuit_v(soc)
        scale = self.energy_wh() / (v * v)
        resistance = np.stack(
            [
                np.stack(
                    [self.resistance_ohm(soc, float(t), is_charging) * scale for t in temperature_grid_c()]
                )
                for is_charging in (False, True)
            ]
        )
        heat_capacity = self.mass_kg * self.heat_capacity_j_per_kg_k / SECONDS_PER_HOUR / self.energy_wh()
        return StorageTable(
            name=self.name,
            emf_pu=v / v[-1],
            resistance_h=resistance,
            headroom_pu=np.stack([np.maximum(v - self.v_min, 0.0) / v, np.maximum(self.v_max - v, 0.0) / v]),
            power_limit_per_h=(self.discharge_c_rate, self.charge_c_rate),
            standing_sqrt_per_h=0.0,
            standing_linear_per_h=-float(np.log1p(-self.self_discharge_per_month)) / (30.0 * 24.0),
            heat_capacity_wh_per_k=heat_capacity,
            cooling_time_s=self.cooling_time_s,
            temperature_limits_c=(self.discharge_temp_c, self.charge_temp_c),
        )


def sony_lfp_cell() -> Cell:
    """Return the Sony/Murata US26650FTC1, LiFePO4, 3 Ah, 26650.

    Notes
    -----
    Terminal limits 2.0 V and 3.6 V, 1C charging (3 A) and 6.67C discharging (20 A), 85 g, charging at 0–45 °C
    and discharging at -20–60 °C are the maker's data sheet; 1000 J/(kg·K) is usual for cylindrical cells.
    The pack's cooling time of 2 h and 2 % self-discharge per month are ordinary values for home storage.

    References
    ----------
    Tables: SimSES, BSD-3-Clause (devices/data/sony_lfp.py). M. Naumann et al., Journal of Energy Storage 17
    (2018) 153–169, doi:10.1016/j.est.2018.01.019 describes the cell and its tests.
    """
    d = sony_lfp
    return Cell(
        name="Sony US26650 LFP",
        capacity_ah=3.0,
        ocv_soc_pu=np.asarray(d.OCV_SOC_PU, dtype=np.float64),
        ocv_v=np.asarray(d.OCV_V, dtype=np.float64),
        resistance_soc_pu=np.asarray(d.RESISTANCE_SOC_PU, dtype=np.float64),
        resistance_temp_c=np.asarray(d.RESISTANCE_TEMP_C, dtype=np.float64),
        charge_resistance_ohm=np.asarray(
            [
                d.CHARGE_RESISTANCE_10C_OHM,
                d.CHARGE_RESISTANCE_25C_OHM,
                d.CHARGE_RESISTANCE_40C_OHM,
                d.CHARGE_RESISTANCE_60C_OHM,
            ]
        ),
        discharge_resistance_ohm=np.asarray(
            [
                d.DISCHARGE_RESISTANCE_10C_OHM,
                d.DISCHARGE_RESISTANCE_25C_OHM,
                d.DISCHARGE_RESISTANCE_40C_OHM,
                d.DISCHARGE_RESISTANCE_60C_OHM,
            ]
        ),
        v_min=2.0,
        v_max=3.6,
        charge_c_rate=1.0,
        discharge_c_rate=20.0 / 3.0,
        mass_kg=0.085,
        heat_capacity_j_per_kg_k=1000.0,
        cooling_time_s=7200.0,
        self_discharge_per_month=0.02,
        charge_temp_c=(0.0, 45.0),
        discharge_temp_c=(-20.0, 60.0),
    )


def molicel_nmc_cell() -> Cell:
    """Return the Molicel IHR18650A, NMC, 1.9 Ah, 18650.

    Notes
    -----
    Terminal limits 3.0 V and 4.25 V (the table ends at 4.24 V), 1C charging and 2C discharging, 46 g,
    charging at 0–45 °C and discharging at -20–60 °C are the maker's ordinary conditions.

    References
    ----------
    Tables: SimSES, BSD-3-Clause (devices/data/molicel_nmc.py).
    """
    d = molicel_nmc
    return Cell(
        name="Molicel IHR18650A NMC",
        capacity_ah=1.9,
        ocv_soc_pu=np.asarray(d.OCV_SOC_PU, dtype=np.float64),
        ocv_v=np.asarray(d.OCV_V, dtype=np.float64),
        resistance_soc_pu=np.asarray(d.RESISTANCE_SOC_PU, dtype=np.float64),
        resistance_temp_c=np.asarray(d.RESISTANCE_TEMP_C, dtype=np.float64),
        charge_resistance_ohm=np.asarray(
            [
                d.CHARGE_RESISTANCE_10C_OHM,
                d.CHARGE_RESISTANCE_25C_OHM,
                d.CHARGE_RESISTANCE_40C_OHM,
                d.CHARGE_RESISTANCE_60C_OHM,
            ]
        ),
        discharge_resistance_ohm=np.asarray(
            [
                d.DISCHARGE_RESISTANCE_10C_OHM,
                d.DISCHARGE_RESISTANCE_25C_OHM,
                d.DISCHARGE_RESISTANCE_40C_OHM,
                d.DISCHARGE_RESISTANCE_60C_OHM,
            ]
        ),
        v_min=3.0,
        v_max=4.25,
        charge_c_rate=1.0,
        discharge_c_rate=2.0,
        mass_kg=0.046,
        heat_capacity_j_per_kg_k=1000.0,
        cooling_time_s=7200.0,
        self_discharge_per_month=0.03,
        charge_temp_c=(0.0, 45.0),
        discharge_temp_c=(-20.0, 60.0),
    )
