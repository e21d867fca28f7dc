"""The power a storage can hold for a whole horizon: no promise of energy that is not there."""

from typing import Final

import numpy as np

from devices.arrays import FloatArray
from devices.converter import ConverterTables
from devices.storage import SECONDS_PER_HOUR, StorageUnits, UnitState, transfer
from devices.storage_tables import StorageTables

# Promise this much less than computed, so that rounding never promises energy that is not there.
PROMISE_MARGIN: Final = 1e-9
# A promise is kept if this share of it is all that is missing.
PROMISE_TOLERANCE: Final = 1e-6
# A handful is enough (measured: at most 9); whoever needs more is promised nothing.
PROMISE_TRIES: Final = 64


def sustainable_w(
    tables: StorageTables,
    converters: ConverterTables,
    units: StorageUnits,
    state: UnitState,
    horizon_s: float,
    is_charging: bool,
) -> FloatArray:
    """Return the largest terminal power, W with its sign, that holds for the whole horizon, (m,).

    Notes
    -----
    Found with `transfer` itself: a power that is not held is replaced by a smaller one until it is, so the
    promise never exceeds what a step of the horizon's length really delivers. With h(p) = held(p) - p,
    concave for discharging, the secant through two powers that were too high meets zero above or at the
    largest power that holds; near a converter's no-load loss, where plain substitution creeps, it takes a
    few steps.
    """
    p = -units.p_charge_max_w if is_charging else units.p_discharge_max_w.copy()
    rows = np.arange(p.size)
    last_p, last_h = np.zeros(p.size), np.zeros(p.size)
    for _ in range(PROMISE_TRIES):
        part = units.take(rows)
        done = transfer(tables, converters, part, state.take(rows), p[rows], state.temp_c[rows], horizon_s)
        asked = np.abs(p[rows])
        held = np.abs(done.terminal_wh) * (SECONDS_PER_HOUR / horizon_s)
        is_short = held < asked * (1.0 - PROMISE_TOLERANCE)
        h = held - asked
        gap, fall = last_p[rows] - asked, last_h[rows] - h
        has_two = (gap > 0.0) & (fall < 0.0)
        secant = asked + np.where(has_two, h * gap / np.where(has_two, -fall, 1.0), h)
        # Never more than what was just delivered, and nothing if the line meets zero below no power at all.
        smaller = np.maximum(np.minimum(secant, held), 0.0) * (1.0 - PROMISE_MARGIN)
        last_p[rows], last_h[rows] = asked, h
        p[rows] = np.where(is_short, np.copysign(smaller, p[rows]), p[rows])
        rows = rows[is_short]
        if rows.size == 0:
            return p
    p[rows] = 0.0
    return p
