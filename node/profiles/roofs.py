"""Modelled roofs: what the sun gives a plane in every step, by `devices.solar`."""

import numpy as np
from numpy.typing import NDArray

from devices.solar import Roof, available_w, clear_sky
from node.scenario import SolarRoof

# The sun moves a quarter of a degree a minute: means of longer steps are those of their five-minute parts.
LONGEST_PART_S = 300


def power_w(roof: SolarRoof, inverter_w: float, start_s: int, end_s: int, step_s: int) -> NDArray[np.float64]:
    """Return a roof's mean power in each step of `[start_s, end_s)`, W at its inverter's terminal.

    Parameters
    ----------
    inverter_w : float
        Rating of the inverter.
    step_s : int
        Of 10 s to an hour; longer ones than five minutes are a multiple of that.
    """
    part_s = min(step_s, LONGEST_PART_S)
    if step_s % part_s:
        part_s = step_s
    plane = Roof(
        name="roof",
        latitude_deg=roof.latitude_deg,
        longitude_deg=roof.longitude_deg,
        altitude_m=roof.altitude_m,
        tilt_deg=roof.tilt_deg,
        azimuth_deg=roof.azimuth_deg,
        dc_peak_w=roof.dc_peak_w,
        inverter_w=inverter_w,
    )
    middle_s = np.arange(start_s, end_s, part_s, dtype=np.float64) + 0.5 * part_s
    sky = clear_sky(plane, middle_s, roof.air_c, roof.linke_turbidity)
    parts = available_w(plane, sky)
    return np.asarray(parts.reshape(-1, step_s // part_s).mean(axis=1))
