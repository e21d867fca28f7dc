"""Watch storages by their readings: alerts with a cause, and who is fit for duty.

| cause | how it is seen |
|---|---|
| VOLTAGE, CURRENT, TEMPERATURE, ENERGY | a reading outside what the storage may ever show, twice running |
| RESISTANCE | slope of the voltage drop over the expected one, by regression with an intercept |
| INTERNAL_SHORT | (batteries) energy that vanishes: slope of energy + what the current took, by regression over time |
| STUCK_* | a reading that does not move although the expected one did, by far more than its noise |
| OVERHEATING | warmer than current and ambient explain |

Everything is recursive with forgetting: a fixed few numbers per storage, no history. The intercept of the
first regression takes up a constant error of the state-of-charge estimate; the threshold of the second
leaves room for the offset of a current sensor.
"""

from dataclasses import dataclass, replace
from enum import IntFlag
from typing import Final

import numpy as np

from devices.arrays import BoolArray, FloatArray, IntArray, interpolate_rows
from devices.parameters import FleetParameters
from devices.sensors import Readings
from devices.storage import source_at, standing_loss_wh
from devices.storage_tables import GRID_CELLS

SECONDS_PER_HOUR: Final = 3600.0
FORGETTING_S: Final = 2.0 * 86_400.0

# A third more resistance is what the monitor must find; half of that, when certain, is an alert.
RESISTANCE_ALERT_PU: Final = 1.15
RESISTANCE_CERTAIN_PU: Final = 1.05
CERTAINTY_SIGMAS: Final = 4.0
# Sum of squares of the expected drop (about its mean) before a slope is believed; near empty and full the
# open-circuit voltage is too steep for the state-of-charge error.
LEAST_EXCITATION: Final = 2e-3
REGRESSION_RANGE_PU: Final = (0.15, 0.9)
# Offsets of current sensors (0.05 % of 1C) look like 0.0005/h; a soft short of C/100 is 0.01/h.
SHORT_ALERT_PER_H: Final = 0.004
SHORT_AFTER_S: Final = 12.0 * 3600.0
# Flywheels and capacitors lose more than a soft short by themselves, and differently at every energy.
SHORT_STANDING_PER_H: Final = 0.001
# A channel is stuck if it repeats itself this often while the expected reading moved this much (voltage per unit,
# current per hour, kelvin, energy per unit): well above its noise.
STUCK_REPEATS: Final = 3
STUCK_MOVED: Final = (0.006, 0.06, 4.0, 0.05)
OVERHEATING_K: Final = 10.0
# Readings may overshoot their limits by noise.
VOLTAGE_MARGIN_PU: Final = 0.03
CURRENT_MARGIN_PU: Final = 1.25
TEMPERATURE_MARGIN_K: Final = 3.0
ENERGY_MARGIN_PU: Final = 0.08
LIMIT_REPEATS: Final = 2


class Cause(IntFlag):
    """Why a storage is not healthy; several may hold."""

    NONE = 0
    VOLTAGE = 1
    CURRENT = 2
    TEMPERATURE = 4
    ENERGY = 8
    RESISTANCE = 16
    INTERNAL_SHORT = 32
    STUCK_VOLTAGE = 64
    STUCK_CURRENT = 128
    STUCK_TEMPERATURE = 256
    STUCK_ENERGY = 512
    OVERHEATING = 1024


LIMIT_CAUSES: Final = (Cause.VOLTAGE, Cause.CURRENT, Cause.TEMPERATURE, Cause.ENERGY)
STUCK_CAUSES: Final = (Cause.STUCK_VOLTAGE, Cause.STUCK_CURRENT, Cause.STUCK_TEMPERATURE, Cause.STUCK_ENERGY)


@dataclass(frozen=True, slots=True)
class HealthState:
    """What the monitor remembers of m storages.

    Attributes
    ----------
    elapsed_s : (m,) float64, observed so far
    last : (4, m) float64, last reading of every channel
    repeats : (4, m) int64, how often it has been the same
    expected_low, expected_high : (4, m) float64, range of the expected reading meanwhile
    outside : (4, m) int64, readings outside the limits in a row
    drop : (6, m) float64, weighted sums 1, x, y, xx, xy, yy of the resistance regression
    drift : (5, m) float64, weighted sums 1, t, B, tB, tt of the energy regression, t = 0 now
    taken_pu : (m,) float64, energy that current and known losses have taken since the beginning
    temp_c : (m,) float64, temperature that mean power and ambient explain
    temp_high_c : (m,) float64, the highest that the throughput can explain
    hot : (m,) int64, readings above that in a row
    alerts : (m,) int64, `Cause` bits, kept until `cleared`
    """

    elapsed_s: FloatArray
    last: FloatArray
    repeats: IntArray
    expected_low: FloatArray
    expected_high: FloatArray
    outside: IntArray
    drop: FloatArray
    drift: FloatArray
    taken_pu: FloatArray
    temp_c: FloatArray
    temp_high_c: FloatArray
    hot: IntArray
    alerts: IntArray


def begin(n_storages: int) -> HealthState:
    """Return a monitor that has seen nothing."""
    m = n_storages
    nan = np.full((4, m), np.nan)
    return HealthState(
        elapsed_s=np.zeros(m),
        last=nan,
        repeats=np.zeros((4, m), dtype=np.int64),
        expected_low=np.full((4, m), np.inf),
        expected_high=np.full((4, m), -np.inf),
        outside=np.zeros((4, m), dtype=np.int64),
        drop=np.zeros((6, m)),
        drift=np.zeros((5, m)),
        taken_pu=np.zeros(m),
        temp_c=np.full(m, np.nan),
        temp_high_c=np.full(m, np.nan),
        hot=np.zeros(m, dtype=np.int64),
        alerts=np.zeros(m, dtype=np.int64),
    )


@dataclass(frozen=True, slots=True)
class _Expected:
    """What a healthy storage would read, from the outlet's meter and the reported energy; (m,) each."""

    emf_pu: FloatArray
    drop_pu: FloatArray
    current_per_h: FloatArray
    heat_k_per_s: FloatArray
    heat_high_k_per_s: FloatArray
    standing_per_h: FloatArray


def observe(
    params: FleetParameters,
    state: HealthState,
    readings: Readings,
    resistance_factor: FloatArray,
    ambient_c: FloatArray | float,
    dt_s: float,
) -> HealthState:
    """Take one reading of every storage and judge it.

    Parameters
    ----------
    resistance_factor : (m,) float64
        What ageing explains: 1 + calendar and cycle rise.
    dt_s : float
        Since the last reading, s.

    Returns
    -------
    HealthState
        With `alerts` set; they stay until `cleared`.
    """
    expected = _expected(params, readings, resistance_factor, dt_s)
    alerts = state.alerts.copy()
    alerts, outside = _limits(params, state, readings, alerts)
    drop, alerts = _resistance(state, readings, expected, alerts, dt_s)
    taken, drift, alerts = _short(params, state, readings, expected, alerts, dt_s)
    temp, temp_high, hot, alerts = _heat(params, state, readings, expected, ambient_c, alerts, dt_s)
    watched = replace(
        state,
        elapsed_s=state.elapsed_s + dt_s,
        outside=outside,
        drop=drop,
        drift=drift,
        taken_pu=taken,
        temp_c=temp,
        temp_high_c=temp_high,
        hot=hot,
        alerts=alerts,
    )
    return _stuck(watched, readings, expected)


def cleared(state: HealthState, which: BoolArray) -> HealthState:
    """Return the monitor as new for storages that were repaired, (m,) bool."""
    fresh = begin(state.alerts.size)
    return HealthState(
        **{
            name: np.where(which, getattr(fresh, name), getattr(state, name))
            for name in HealthState.__dataclass_fields__
        }
    )


def is_healthy(state: HealthState) -> BoolArray:
    """Return which storages are fit for virtual battery and swarm, (m,)."""
    healthy: BoolArray = state.alerts == Cause.NONE
    return healthy


def is_fit(params: FleetParameters, state: HealthState) -> BoolArray:
    """Return which devices of the fleet may be given duty, (n_devices,): all but unhealthy storages."""
    fit = np.ones(params.n_devices, dtype=np.bool_)
    fit[params.storage_rows] = is_healthy(state)
    return fit


def causes(alerts: int) -> tuple[str, ...]:
    """Return the names of the causes in a storage's alerts, for people."""
    return tuple(c.name.lower().replace("_", " ") for c in Cause if c.name and c.value and alerts & c.value)


def _expected(params: FleetParameters, readings: Readings, factor: FloatArray, dt_s: float) -> _Expected:
    units = params.units
    capacity = units.capacity_wh
    energy = np.clip(readings.energy_pu, 0.0, 1.0)
    p, k = source_at(
        params.tables,
        params.converters,
        units,
        capacity,
        energy * capacity,
        readings.temp_c,
        factor,
        readings.terminal_w,
    )
    emf = interpolate_rows(params.tables.emf_pu, units.table, energy * GRID_CELLS)
    standing = standing_loss_wh(params.tables, units.table, energy * capacity, capacity, 1.0) / capacity
    heat_capacity = params.tables.heat_capacity_wh_per_k[units.table] * capacity
    # Loss is k·p²: at least that of the mean power, at most that of the throughput at rated power.
    hours = dt_s / SECONDS_PER_HOUR
    mean_w = readings.moved_pu * capacity / hours
    worst_w = np.abs(readings.throughput_pu) * capacity / hours * units.rated_w
    low_w = k * mean_w * mean_w + standing * capacity
    high_w = k * np.maximum(worst_w, mean_w * mean_w) + standing * capacity
    per_s = 1.0 / heat_capacity / SECONDS_PER_HOUR
    # The drop follows the measured current, so that an error of the outlet's meter is none of the resistance.
    drop = k * capacity * emf * emf * readings.current_per_h
    return _Expected(emf, drop, p / capacity / emf, low_w * per_s, high_w * per_s, standing)


def _limits(
    params: FleetParameters, state: HealthState, readings: Readings, alerts: IntArray
) -> tuple[IntArray, IntArray]:
    table = params.units.table
    emf = params.tables.emf_pu
    headroom = params.tables.headroom_pu
    low_v = emf[table, 0] * (1.0 - np.minimum(headroom[2 * table, 0], 0.5)) - VOLTAGE_MARGIN_PU
    high_v = emf[table, -1] * (1.0 + np.minimum(headroom[2 * table + 1, -1], 0.5)) + VOLTAGE_MARGIN_PU
    rate = CURRENT_MARGIN_PU * np.maximum(
        params.tables.power_limit_per_h[2 * table], params.tables.power_limit_per_h[2 * table + 1]
    )
    rate /= emf[table, 0]
    cold = params.tables.temperature_low_c[2 * table] - TEMPERATURE_MARGIN_K
    warm = params.tables.temperature_high_c[2 * table] + TEMPERATURE_MARGIN_K
    low = np.stack([low_v, -rate, cold, np.full(table.size, -ENERGY_MARGIN_PU)])
    high = np.stack([high_v, rate, warm, np.full(table.size, 1.0 + ENERGY_MARGIN_PU)])
    values = readings.channels()
    # A reading that is no number is outside too.
    outside = np.where((values >= low) & (values <= high), 0, state.outside + 1)
    for channel, cause in enumerate(LIMIT_CAUSES):
        alerts = np.where(outside[channel] >= LIMIT_REPEATS, alerts | cause.value, alerts)
    return alerts, outside


def _resistance(
    state: HealthState, readings: Readings, expected: _Expected, alerts: IntArray, dt_s: float
) -> tuple[FloatArray, IntArray]:
    x, y = expected.drop_pu, expected.emf_pu - readings.voltage_pu
    low, high = REGRESSION_RANGE_PU
    counts = ((readings.energy_pu > low) & (readings.energy_pu < high) & np.isfinite(y)).astype(np.float64)
    y = np.where(counts > 0.0, y, 0.0)
    drop = state.drop * np.exp(-dt_s / FORGETTING_S)
    drop = drop + counts * np.stack([np.ones_like(x), x, y, x * x, x * y, y * y])
    s0 = np.maximum(drop[0], 1.0)
    sxx = drop[3] - drop[1] ** 2 / s0
    sxy = drop[4] - drop[1] * drop[2] / s0
    syy = drop[5] - drop[2] ** 2 / s0
    enough = (sxx > LEAST_EXCITATION) & (drop[0] > 8.0)
    safe = np.where(enough, sxx, 1.0)
    slope = sxy / safe
    sigma = np.sqrt(np.maximum(syy - slope * sxy, 0.0) / np.maximum(s0 - 2.0, 1.0) / safe)
    is_high = enough & (slope > RESISTANCE_ALERT_PU)
    is_high &= slope - CERTAINTY_SIGMAS * sigma > RESISTANCE_CERTAIN_PU
    return drop, np.where(is_high, alerts | Cause.RESISTANCE.value, alerts)


def _short(
    params: FleetParameters,
    state: HealthState,
    readings: Readings,
    expected: _Expected,
    alerts: IntArray,
    dt_s: float,
) -> tuple[FloatArray, FloatArray, IntArray]:
    hours = dt_s / SECONDS_PER_HOUR
    taken = state.taken_pu + readings.moved_pu + expected.standing_per_h * hours
    balance = np.where(np.isfinite(readings.energy_pu), readings.energy_pu, 0.0) + taken
    s0, st, sb, stb, stt = state.drift * np.exp(-dt_s / FORGETTING_S)
    # The origin of time moves to now.
    stt = stt - 2.0 * hours * st + hours * hours * s0
    stb = stb - hours * sb
    st = st - hours * s0
    drift = np.stack([s0 + 1.0, st, sb + balance, stb, stt])
    var = drift[4] - drift[1] ** 2 / drift[0]
    slope = (drift[3] - drift[1] * drift[2] / drift[0]) / np.where(var > 0.0, var, 1.0)
    is_short = (slope < -SHORT_ALERT_PER_H) & (state.elapsed_s >= SHORT_AFTER_S)
    is_short &= _stands_still(params)
    return taken, drift, np.where(is_short, alerts | Cause.INTERNAL_SHORT.value, alerts)


def _stands_still(params: FleetParameters) -> BoolArray:
    """Return which storages lose so little by standing that a leak stands out: batteries, (m,)."""
    per_h = params.tables.standing_sqrt_per_h + params.tables.standing_linear_per_h
    still: BoolArray = per_h[params.units.table] < SHORT_STANDING_PER_H
    return still


def _heat(
    params: FleetParameters,
    state: HealthState,
    readings: Readings,
    expected: _Expected,
    ambient_c: FloatArray | float,
    alerts: IntArray,
    dt_s: float,
) -> tuple[FloatArray, FloatArray, IntArray, IntArray]:
    cooling_s = params.tables.cooling_time_s[params.units.table]
    share = -np.expm1(-dt_s / cooling_s)
    before = np.where(np.isnan(state.temp_c), readings.temp_c, state.temp_c)
    temp = before + share * (ambient_c + expected.heat_k_per_s * cooling_s - before)
    high = np.where(np.isnan(state.temp_high_c), readings.temp_c, state.temp_high_c)
    high = high + share * (ambient_c + expected.heat_high_k_per_s * cooling_s - high)
    hot = np.where(readings.temp_c - high > OVERHEATING_K, state.hot + 1, 0)
    return temp, high, hot, np.where(hot >= LIMIT_REPEATS, alerts | Cause.OVERHEATING.value, alerts)


def _stuck(state: HealthState, readings: Readings, expected: _Expected) -> HealthState:
    values = readings.channels()
    forecast = np.stack(
        [
            expected.emf_pu - expected.drop_pu,
            expected.current_per_h,
            state.temp_c,
            # Energy moves by what was taken out.
            -state.taken_pu,
        ]
    )
    same = values == state.last
    repeats = np.where(same, state.repeats + 1, 0)
    low = np.where(same, np.minimum(state.expected_low, forecast), forecast)
    high = np.where(same, np.maximum(state.expected_high, forecast), forecast)
    moved = np.asarray(STUCK_MOVED)[:, None]
    is_stuck = (repeats >= STUCK_REPEATS) & (high - low > moved)
    alerts = state.alerts
    for channel, cause in enumerate(STUCK_CAUSES):
        alerts = np.where(is_stuck[channel], alerts | cause.value, alerts)
    return replace(state, last=values, repeats=repeats, expected_low=low, expected_high=high, alerts=alerts)
