"""A diesel generator's fuel: what it burns at a load, what its tank still gives, and that it stops when it is dry.

Fuel is counted as energy, by its lower heating value. An engine that runs without load burns fuel too, so it burns
least per kilowatt-hour near its rating: 33 % of the fuel become electricity there, 22 % at a quarter of it.

References
----------
Diesel Service & Supply, Approximate Diesel Fuel Consumption Chart: 20 kW set, 0.6, 0.9, 1.3 and 1.6 US gallons an hour
at a quarter, half, three quarters and full load; no load by the line through the first two. Per unit of its rating.
IPCC, Guidelines for National Greenhouse Gas Inventories (2006), vol. 2, tables 1.2 and 1.4: diesel oil, 43.0 MJ/kg,
74.1 kg of CO2 per GJ. EN 590: 820 to 845 kg/m^3 at 15 degrees.
"""

from typing import Final

import numpy as np

from devices.arrays import BoolArray, FloatArray

SECONDS_PER_HOUR: Final = 3600.0
L_PER_US_GALLON: Final = 3.785411784
J_PER_KG: Final = 43.0e6
KG_PER_L: Final = 0.8325
FUEL_WH_PER_L: Final = J_PER_KG * KG_PER_L / SECONDS_PER_HOUR
CO2_G_PER_FUEL_KWH: Final = 74.1 * 3.6

_CHART_RATED_W: Final = 20_000.0
_CHART_GALLONS_PER_H: Final = np.array([0.3, 0.6, 0.9, 1.3, 1.6])
LOAD_PU: Final = np.array([0.0, 0.25, 0.5, 0.75, 1.0])
# Fuel burnt, W, over rated power.
FUEL_PU: Final = _CHART_GALLONS_PER_H * L_PER_US_GALLON * FUEL_WH_PER_L / _CHART_RATED_W


def fuel_power_w(p_w: FloatArray, rated_w: FloatArray) -> FloatArray:
    """Return the fuel that running generators burn, W, at 0 to their rating; lines between the chart's points."""
    burnt: FloatArray = np.interp(p_w / rated_w, LOAD_PU, FUEL_PU) * rated_w
    return burnt


def burn(
    p_w: FloatArray, is_running: BoolArray, fuel_wh: FloatArray, rated_w: FloatArray, dt_s: float
) -> tuple[FloatArray, FloatArray]:
    """Run generators for a step; one whose tank is empty before its end has stopped there.

    Parameters
    ----------
    p_w : (n,) float64
        Power asked of each, 0 to its rating.
    is_running : (n,) bool
        One that stands burns and gives nothing.
    fuel_wh : (n,) float64
        In the tank, >= 0; inf: a line that never ends.

    Returns
    -------
    (generated_wh, fuel_wh) : (n,) float64 each
        Electricity of the step, and the tank after it.
    """
    dt_h = dt_s / SECONDS_PER_HOUR
    wanted_wh = np.where(is_running, fuel_power_w(p_w, rated_w), 0.0) * dt_h
    share = np.minimum(1.0, fuel_wh / np.where(wanted_wh > 0.0, wanted_wh, 1.0))
    generated_wh = np.where(is_running, p_w * dt_h * share, 0.0)
    return generated_wh, np.maximum(fuel_wh - wanted_wh, 0.0)


def sustained_w(fuel_wh: FloatArray, rated_w: FloatArray, horizon_s: float) -> FloatArray:
    """Return the power that generators can hold for the whole horizon on what is in their tanks, (n,) W."""
    burn_pu = fuel_wh / (rated_w * (horizon_s / SECONDS_PER_HOUR))
    held: FloatArray = np.interp(burn_pu, FUEL_PU, LOAD_PU) * rated_w
    return held


def lasts_s(fuel_wh: float, p_w: float, rated_w: float) -> float:
    """Return how long a tank lasts at a constant load, s."""
    return fuel_wh / float(fuel_power_w(np.array(p_w), np.array(rated_w))) * SECONDS_PER_HOUR
