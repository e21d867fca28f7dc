"""The power a storage can hold for a whole horizon: no promise of energy that is not there."""

from typing import Final

import numpy as np

from devices.arrays import FloatArray
from devices.converter import ConverterTables
from devices.storage import SECONDS_PER_HOUR, StorageUnits, UnitState, delivered_wh
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
) -> tuple[FloatArray, FloatArray]:
    """Return the largest charging and discharging terminal power that holds for the whole horizon, W signed, (m,) each.

    Notes
    -----
    Found with the step itself: a power that is not held is replaced by a smaller one until it is, so the
    promise never exceeds what a step of the horizon's length really delivers. With h(p) = held(p) - p,
    concave for discharging, the secant through two powers that were too high meets zero above or at the
    largest power that holds; near a converter's no-load loss, where plain substitution creeps, it takes a
    few steps. Both directions of all units are asked at once: a unit's row depends on no other.
    """
    m = units.table.size
    p = np.concatenate([-units.p_charge_max_w, units.p_discharge_max_w])
    rows = np.arange(2 * m)
    short = np.concatenate([rows[:m], rows[:m]])  # places among the units of the round before
    asked_w, last = p, None
    for _ in range(PROMISE_TRIES):
        units, state = units.take(short), state.take(short)
        held = np.abs(delivered_wh(tables, converters, units, state, asked_w, horizon_s))
        held *= SECONDS_PER_HOUR / horizon_s
        asked = np.abs(asked_w)
        short = (held < asked * (1.0 - PROMISE_TOLERANCE)).nonzero()[0]
        if short.size == 0:
            return p[:m], p[m:]
        rows, asked, held = rows[short], asked[short], held[short]
        h = held - asked
        step = h
        if last is not None:
            gap, fall = last[0][short] - asked, last[1][short] - h
            has_two = (gap > 0.0) & (fall < 0.0)
            step = np.where(has_two, h * gap / np.where(has_two, -fall, 1.0), h)
        last = asked, h
        # Never more than what was just delivered, and nothing if the line meets zero below no power at all.
        smaller = np.maximum(np.minimum(asked + step, held), 0.0) * (1.0 - PROMISE_MARGIN)
        asked_w = np.copysign(smaller, asked_w[short])
        p[rows] = asked_w
    p[rows] = 0.0
    return p[:m], p[m:]
