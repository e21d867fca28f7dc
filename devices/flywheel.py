"""Flywheels: energy in a rotor, bearing and windage loss, machine loss; coast-down in closed form.

| symbol | name in code | meaning |
|---|---|---|
| I | `inertia_kg_m2` | moment of inertia; E = I·ω²/2 |
| T_b | `bearing_torque_nm` | constant bearing torque |
| b | `drag_nm_s` | windage torque per rad/s: in vacuum (free molecular flow) drag is proportional to speed |
| ω_min, ω_max | `speed_min_rad_s`, `speed_max_rad_s` | working range; at ω_min the drive stops delivering |
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from devices.arrays import FloatArray
from devices.errors import BadTable
from devices.storage_tables import TEMPERATURE_POINTS, StorageTable, energy_grid

JOULE_PER_WH: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Flywheel:
    """A rotor with its motor/generator.

    Attributes
    ----------
    name : str
    inertia_kg_m2 : float
    speed_min_rad_s, speed_max_rad_s : float
    bearing_torque_nm : float
    drag_nm_s : float
    rated_w : float
        Power of the machine at the shaft.
    copper_loss_pu : float
        Ohmic loss of the machine over rated power, at rated power and full speed.
    """

    name: str
    inertia_kg_m2: float
    speed_min_rad_s: float
    speed_max_rad_s: float
    bearing_torque_nm: float
    drag_nm_s: float
    rated_w: float
    copper_loss_pu: float

    def __post_init__(self) -> None:
        if not (self.inertia_kg_m2 > 0.0 and 0.0 < self.speed_min_rad_s < self.speed_max_rad_s):
            raise BadTable(f"flywheel {self.name}: inertia > 0 and 0 < speed_min < speed_max")
        if min(self.bearing_torque_nm, self.drag_nm_s, self.copper_loss_pu) < 0.0 or self.rated_w <= 0.0:
            raise BadTable(f"flywheel {self.name}: losses must not be negative, rated power positive")

    def energy_wh(self, speed_rad_s: FloatArray | float) -> FloatArray:
        """Return the kinetic energy, Wh, at speeds."""
        speed = np.asarray(speed_rad_s, dtype=np.float64)
        return 0.5 * self.inertia_kg_m2 * speed * speed / JOULE_PER_WH

    def speed_rad_s(self, energy_wh: FloatArray | float) -> FloatArray:
        """Return the speed at energies, Wh."""
        return np.sqrt(2.0 * JOULE_PER_WH * np.asarray(energy_wh, dtype=np.float64) / self.inertia_kg_m2)

    def coast_down_rad_s(self, speed_rad_s: float, t_s: FloatArray | float) -> FloatArray:
        """Return the speed after coasting for t.

        Notes
        -----
        I·dω/dt = -T_b - b·ω, so ω(t) = (ω0 + T_b/b)·exp(-b·t/I) - T_b/b until standstill; linear for b = 0.
        """
        t = np.asarray(t_s, dtype=np.float64)
        if self.drag_nm_s == 0.0:
            return np.maximum(speed_rad_s - self.bearing_torque_nm * t / self.inertia_kg_m2, 0.0)
        offset = self.bearing_torque_nm / self.drag_nm_s
        decay = np.exp(-self.drag_nm_s * t / self.inertia_kg_m2)
        return np.maximum((speed_rad_s + offset) * decay - offset, 0.0)

    def capacity_wh(self) -> float:
        """Return the energy at full speed, Wh."""
        return float(self.energy_wh(self.speed_max_rad_s))

    def usable_from_pu(self) -> float:
        """Return the energy at the lowest working speed over the energy at full speed."""
        return (self.speed_min_rad_s / self.speed_max_rad_s) ** 2

    def storage_table(self) -> StorageTable:
        """Return the flywheel over its energy.

        Notes
        -----
        The torque for a power p is p/ω, the current is proportional to it, the copper loss to (p/ω)²: the
        machine is a source with back-EMF proportional to ω behind a resistance. Bearing and windage power
        T_b·ω + b·ω² is A·sqrt(e) + B·e. Below the lowest working speed it is accelerated as at that speed
        (the drive limits the current).
        """
        full_j = self.capacity_wh() * JOULE_PER_WH
        e = np.maximum(energy_grid(), self.usable_from_pu())
        at_full_h = self.copper_loss_pu / self.rated_w * self.capacity_wh()
        return StorageTable(
            name=self.name,
            emf_pu=np.sqrt(e),
            resistance_h=np.broadcast_to(at_full_h / e, (2, TEMPERATURE_POINTS, e.size)).copy(),
            headroom_pu=np.full((2, e.size), 0.5),
            power_limit_per_h=(3600.0, 3600.0),
            standing_sqrt_per_h=3600.0 * self.bearing_torque_nm * self.speed_max_rad_s / full_j,
            standing_linear_per_h=3600.0 * self.drag_nm_s * self.speed_max_rad_s**2 / full_j,
            # The rotor stores little heat: 0.9 kJ/(kg·K) carbon and steel at 20 Wh/kg.
            heat_capacity_wh_per_k=0.0125,
            cooling_time_s=3600.0,
            temperature_limits_c=((-20.0, 80.0), (-20.0, 80.0)),
        )


def rack_flywheel() -> Flywheel:
    """Return a 25 kW, 0.52 kWh rotor (0.39 kWh usable) on magnetic bearings in vacuum, per rack group.

    Notes
    -----
    36,000 rev/min and half of it as lowest speed; standing loss of about 90 W at full speed (bearings
    and windage: 17 % of the energy in the first hour) and 2.5 % copper loss at rated power lie inside the
    range measured for composite rotors.

    References
    ----------
    M. Amiryar, K. Pullen, A review of flywheel energy storage system technologies and their applications,
    Applied Sciences 7 (2017) 286, doi:10.3390/app7030286.
    """
    speed = 36_000.0 * 2.0 * np.pi / 60.0
    return Flywheel("rack flywheel", 0.2635, 0.5 * speed, speed, 0.008, 4.2e-6, 25_000.0, 0.025)
