"""Solar roofs: from sun position and irradiance to the power available at the terminal.

| step | model |
|---|---|
| sun | NREL solar position algorithm |
| irradiance on the plane | Hay and Davies; beam reduced by the glass (physical incidence-angle model) |
| cell temperature | Faiman: T = T_air + G / (u0 + u1·wind) |
| DC power | PVWatts: P = P_dc0 · G/1000 · (1 + γ·(T - 25)), less fixed losses |
| AC power | PVWatts inverter, clipped at its rating |

References
----------
pvlib: K. Anderson et al., pvlib python: 2023 project update, Journal of Open Source Software 8 (2023) 5994,
doi:10.21105/joss.05994. A. Dobos, PVWatts version 5 manual, NREL/TP-6A20-62641 (2014). D. Faiman, Progress in
Photovoltaics 16 (2008) 307–315, doi:10.1002/pip.813.

pvlib is imported where it is used: it takes seconds, and only those who model weather need it.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from devices.arrays import FloatArray
from devices.errors import BadInput, BadSpecification

# Faiman's coefficients for open racks; γ of crystalline silicon; wiring, soiling, mismatch and light-induced losses
# of PVWatts' default (14 %).
FAIMAN_U0_W_PER_M2_K: Final = 25.0
FAIMAN_U1_WS_PER_M3_K: Final = 6.84
GAMMA_PER_K: Final = -0.004
LOSSES_PU: Final = 0.14
INVERTER_EFFICIENCY: Final = 0.96
# Refraction at the horizon, air temperature and the Earth's slowing (TT - UT, about 2024): all far below what matters.
SPA_REFRACTION_DEG: Final = 0.5667
LARGEST_ZENITH_DEG: Final = 89.9
SPA_AIR_C: Final = 12.0
SPA_DELTA_T_S: Final = 69.2


@dataclass(frozen=True, slots=True)
class Roof:
    """A plane of modules with its inverter.

    Attributes
    ----------
    name : str
    latitude_deg, longitude_deg, altitude_m : float
    tilt_deg : float
        0 is flat.
    azimuth_deg : float
        From north over east: 180 is south.
    dc_peak_w, inverter_w : float
        Modules at standard conditions; rating of the inverter at its terminal.
    albedo : float
    """

    name: str
    latitude_deg: float
    longitude_deg: float
    tilt_deg: float
    azimuth_deg: float
    dc_peak_w: float
    inverter_w: float
    altitude_m: float = 0.0
    albedo: float = 0.2

    def __post_init__(self) -> None:
        for field, low, high in (
            ("latitude_deg", -90.0, 90.0),
            ("longitude_deg", -180.0, 180.0),
            ("tilt_deg", 0.0, 90.0),
            ("azimuth_deg", 0.0, 360.0),
            ("albedo", 0.0, 1.0),
        ):
            value = getattr(self, field)
            if not low <= value <= high:
                raise BadSpecification(self.name, field, f"in {low}..{high}", value)
        for field in ("dc_peak_w", "inverter_w"):
            value = getattr(self, field)
            if not 0.0 < value < np.inf:
                raise BadSpecification(self.name, field, "> 0 W", value)


@dataclass(frozen=True, slots=True)
class Weather:
    """Weather over time; arrays (k,).

    Attributes
    ----------
    unix_s : int64 or float64, middle of each interval
    ghi_w_per_m2, dni_w_per_m2, dhi_w_per_m2 : float64, global horizontal, direct normal, diffuse horizontal
    air_c, wind_m_per_s : float64
    """

    unix_s: FloatArray
    ghi_w_per_m2: FloatArray
    dni_w_per_m2: FloatArray
    dhi_w_per_m2: FloatArray
    air_c: FloatArray
    wind_m_per_s: FloatArray

    def __post_init__(self) -> None:
        for name in ("ghi_w_per_m2", "dni_w_per_m2", "dhi_w_per_m2", "air_c", "wind_m_per_s"):
            values = getattr(self, name)
            if values.shape != self.unix_s.shape:
                raise BadInput(name, f"of shape {self.unix_s.shape}", got=values.shape)
            lowest = -90.0 if name == "air_c" else 0.0
            bad = np.flatnonzero(~(np.isfinite(values) & (values >= lowest)))
            if bad.size:
                raise BadInput(name, f"a number >= {lowest}", int(bad[0]), float(values[bad[0]]))


def available_w(roof: Roof, weather: Weather) -> FloatArray:
    """Return the power the roof could inject, (k,) W at the terminal: the fleet's `solar_available_w`."""
    plane, beam_loss = plane_irradiance(roof, weather)
    cell_c = cell_temperature_c(plane, weather.air_c, weather.wind_m_per_s)
    dc_w = dc_power_w(roof.dc_peak_w, plane - beam_loss, cell_c)
    return inverter_w(dc_w, roof.inverter_w)


def plane_irradiance(roof: Roof, weather: Weather) -> tuple[FloatArray, FloatArray]:
    """Return irradiance on the plane and the part of its beam that the glass reflects, (k,) W/m² each."""
    from pvlib import iam, irradiance

    zenith, azimuth = sun_position_deg(roof, weather.unix_s)
    parts = irradiance.get_total_irradiance(
        roof.tilt_deg,
        roof.azimuth_deg,
        zenith,
        azimuth,
        weather.dni_w_per_m2,
        weather.ghi_w_per_m2,
        weather.dhi_w_per_m2,
        dni_extra=extraterrestrial_w_per_m2(weather.unix_s),
        albedo=roof.albedo,
        model="haydavies",
    )
    angle = irradiance.aoi(roof.tilt_deg, roof.azimuth_deg, zenith, azimuth)
    transmitted = np.nan_to_num(np.asarray(iam.physical(angle)))
    total = np.nan_to_num(np.asarray(parts["poa_global"]))
    beam = np.nan_to_num(np.asarray(parts["poa_direct"]))
    return np.maximum(total, 0.0), np.maximum(beam, 0.0) * (1.0 - transmitted)


def sun_position_deg(roof: Roof, unix_s: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the sun's apparent zenith and its azimuth, (k,) degrees each."""
    from pvlib import atmosphere, spa

    sun = spa.solar_position(
        np.asarray(unix_s, dtype=np.float64),
        roof.latitude_deg,
        roof.longitude_deg,
        roof.altitude_m,
        atmosphere.alt2pres(roof.altitude_m) / 100.0,
        SPA_AIR_C,
        SPA_DELTA_T_S,
        SPA_REFRACTION_DEG,
    )
    return np.asarray(sun[0], dtype=np.float64), np.asarray(sun[4], dtype=np.float64)


def extraterrestrial_w_per_m2(unix_s: FloatArray) -> FloatArray:
    """Return the irradiance above the atmosphere, (k,) W/m²."""
    from pvlib import irradiance

    days = np.asarray(unix_s, dtype=np.int64).astype("datetime64[s]")
    day_of_year = (days - days.astype("datetime64[Y]")).astype("timedelta64[D]").astype(np.float64) + 1.0
    return np.asarray(irradiance.get_extra_radiation(day_of_year), dtype=np.float64)


def cell_temperature_c(plane_w_per_m2: FloatArray, air_c: FloatArray, wind_m_per_s: FloatArray) -> FloatArray:
    """Return the cells' temperature, (k,) °C."""
    from pvlib import temperature

    cell = temperature.faiman(
        plane_w_per_m2, air_c, wind_m_per_s, u0=FAIMAN_U0_W_PER_M2_K, u1=FAIMAN_U1_WS_PER_M3_K
    )
    return np.asarray(cell, dtype=np.float64)


def dc_power_w(dc_peak_w: float, effective_w_per_m2: FloatArray, cell_c: FloatArray) -> FloatArray:
    """Return the modules' power after fixed losses, (k,) W."""
    from pvlib import pvsystem

    dc = pvsystem.pvwatts_dc(effective_w_per_m2, cell_c, dc_peak_w, GAMMA_PER_K)
    return np.maximum(np.asarray(dc, dtype=np.float64) * (1.0 - LOSSES_PU), 0.0)


def inverter_w(dc_w: FloatArray, rated_w: float) -> FloatArray:
    """Return the power at the inverter's terminal, (k,) W: load-dependent efficiency, clipped at its rating."""
    from pvlib import inverter

    ac = inverter.pvwatts(dc_w, rated_w / INVERTER_EFFICIENCY, eta_inv_nom=INVERTER_EFFICIENCY)
    return np.maximum(np.nan_to_num(np.asarray(ac, dtype=np.float64)), 0.0)


def clear_sky(roof: Roof, unix_s: FloatArray, air_c: float = 15.0, linke_turbidity: float = 3.0) -> Weather:
    """Return cloudless weather at a roof: the Ineichen model with a fixed turbidity, calm wind of 1 m/s."""
    from pvlib import atmosphere, clearsky

    true_zenith, _ = sun_position_deg(roof, np.asarray(unix_s, dtype=np.float64))
    is_day = true_zenith < 90.0
    # The model divides by the cosine: nights are set to dark afterwards.
    zenith = np.minimum(true_zenith, LARGEST_ZENITH_DEG)
    relative = np.nan_to_num(np.asarray(atmosphere.get_relative_airmass(zenith)), nan=40.0)
    airmass = atmosphere.get_absolute_airmass(relative, atmosphere.alt2pres(roof.altitude_m))
    sky = clearsky.ineichen(
        zenith,
        airmass,
        linke_turbidity,
        altitude=roof.altitude_m,
        dni_extra=extraterrestrial_w_per_m2(np.asarray(unix_s, dtype=np.float64)),
    )
    ghi, dni, dhi = (
        np.where(is_day, np.nan_to_num(np.asarray(sky[key], dtype=np.float64)), 0.0)
        for key in ("ghi", "dni", "dhi")
    )
    shape = np.ones(ghi.shape)
    return Weather(
        np.asarray(unix_s, dtype=np.float64),
        np.maximum(ghi, 0.0),
        np.maximum(dni, 0.0),
        np.maximum(dhi, 0.0),
        air_c * shape,
        shape,
    )
