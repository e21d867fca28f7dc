"""Frequency steps and telemetry in the store: written by the interval, read as regular samples for scores."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, insert, select

from market.flexibility_score import SAMPLE_S
from node.controller.swarm_mode import SwarmMode
from node.hub.dispatch_clock import MS_PER_S
from node.hub.frequency_records import FrequencyOutcome
from node.store.bulk import insert_all
from node.store.tables_frequency import frequency_intervals, frequency_members, frequency_steps

MILLI = 1_000
FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


def record(connection: Connection, interval: int, outcome: FrequencyOutcome, first_account: int) -> None:
    """Store what the swarm did in an interval, in the caller's transaction."""
    columns: dict[str, list[Any]] = {
        "at_ms": outcome.at_ms.tolist(),
        "length_ms": outcome.length_ms.tolist(),
        "deviation_hz": outcome.deviation_hz.tolist(),
        "asked_w": outcome.asked_w.tolist(),
        "given_w": outcome.given_w.tolist(),
        "is_incident": outcome.is_incident.tolist(),
        "mode": [SwarmMode(mode).name.lower() for mode in outcome.mode.tolist()],
        "gain_pu": outcome.gain_pu.tolist(),
    }
    insert_all(
        connection,
        frequency_steps,
        [
            {"interval": interval} | dict(zip(columns, row, strict=True))
            for row in zip(*columns.values(), strict=True)
        ],
    )
    connection.execute(
        insert(frequency_intervals),
        {
            "interval": interval,
            "service": outcome.service,
            "asked_milli_wh": round(outcome.asked_wh * MILLI),
            "reserve_violations": outcome.n_reserve_violations,
        },
    )
    delivered = np.floor(outcome.delivered_wh * MILLI).astype(np.int64).tolist()
    insert_all(
        connection,
        frequency_members,
        [
            {"interval": interval, "account": row + first_account, "delivered_milli_wh": energy}
            for row, energy in enumerate(delivered)
            if energy > 0
        ],
    )


def samples(connection: Connection, intervals: range, length_s: int) -> tuple[FloatArray, FloatArray]:
    """Return what was asked and what was given every 10 s, W, means of the second that begins then.

    Nothing was asked, and nothing given, where no step is stored.
    """
    steps = frequency_steps
    found = connection.execute(
        select(steps.c.interval, steps.c.at_ms, steps.c.length_ms, steps.c.asked_w, steps.c.given_w).where(
            steps.c.interval >= intervals.start, steps.c.interval < intervals.stop
        )
    ).all()
    asked, given = np.zeros(len(intervals) * length_s), np.zeros(len(intervals) * length_s)
    if found:
        interval, at_ms, length_ms, asked_w, given_w = np.array(found, np.float64).T
        second = ((interval - intervals.start) * length_s + at_ms // MS_PER_S).astype(np.int64)
        np.add.at(asked, second, asked_w * length_ms / MS_PER_S)
        np.add.at(given, second, given_w * length_ms / MS_PER_S)
    return asked[::SAMPLE_S], given[::SAMPLE_S]


def telemetry_milli_wh(
    connection: Connection, intervals: range, accounts: list[int]
) -> tuple[IntArray, IntArray]:
    """Return what each account delivered in each interval, `(n_accounts, n_intervals)`, and what was asked of all."""
    row = {account: i for i, account in enumerate(accounts)}
    delivered = np.zeros((len(accounts), len(intervals)), np.int64)
    inside = frequency_members.c.interval.between(intervals.start, intervals.stop - 1)
    for one in connection.execute(select(frequency_members).where(inside)):
        if one.account in row:
            delivered[row[one.account], one.interval - intervals.start] = one.delivered_milli_wh
    asked = np.zeros(len(intervals), np.int64)
    inside = frequency_intervals.c.interval.between(intervals.start, intervals.stop - 1)
    for one in connection.execute(select(frequency_intervals).where(inside)):
        asked[one.interval - intervals.start] = one.asked_milli_wh
    return delivered, asked
