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
    last_p, last_h = np.zeros(2 * m), np.zeros(2 * m)
    for _ in range(PROMISE_TRIES):
        unit, asked_w = rows % m, p[rows]
        held = np.abs(
            delivered_wh(tables, converters, units.take(unit), state.take(unit), asked_w, horizon_s)
        )
        asked = np.abs(asked_w)
        held *= SECONDS_PER_HOUR / horizon_s
        short = (held < asked * (1.0 - PROMISE_TOLERANCE)).nonzero()[0]
        if short.size == 0:
            return p[:m], p[m:]
        rows, asked, held, asked_w = rows[short], asked[short], held[short], asked_w[short]
        h = held - asked
        gap, fall = last_p[rows] - asked, last_h[rows] - h
        has_two = (gap > 0.0) & (fall < 0.0)
        secant = asked + np.where(has_two, h * gap / np.where(has_two, -fall, 1.0), h)
        # Never more than what was just delivered, and nothing if the line meets zero below no power at all.
        smaller = np.maximum(np.minimum(secant, held), 0.0) * (1.0 - PROMISE_MARGIN)
        last_p[rows], last_h[rows] = asked, h
        p[rows] = np.copysign(smaller, asked_w)
    p[rows] = 0.0
    return p[:m], p[m:]
