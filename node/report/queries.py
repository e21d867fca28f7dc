"""Questions that people ask of the store: each returns plain arrays or rows, ready to plot, print or send.

All functions read; none changes anything. `span` is a half-open range of intervals.
"""

import json
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Table, func, select

from node.store.tables_devices import (
    device_intervals,
    devices,
    node_intervals,
    nodes,
    reference_intervals,
)
from node.store.tables_market import (
    accounts,
    fills,
    imbalances,
    participants,
    prices,
    readings,
    rounds,
    tariffs,
)

FloatArray = NDArray[np.float64]
IntMatrix = NDArray[np.int64]


def delivered_span(connection: Connection) -> range:
    """Return the intervals whose meters have been read; empty before the first reading."""
    low, high = connection.execute(select(func.min(readings.c.interval), func.max(readings.c.interval))).one()
    return range(0) if low is None else range(low, high + 1)


@dataclass(frozen=True, slots=True)
class Member:
    """A participant and its account."""

    account: int
    name: str
    kind: str
    node: str
    capacity_milli_wh: int


def members(connection: Connection) -> list[Member]:
    """Return all participants with an account, by account number."""
    found = connection.execute(
        select(
            accounts.c.account,
            participants.c.name,
            participants.c.kind,
            accounts.c.node,
            accounts.c.capacity_milli_wh,
        )
        .join(participants, participants.c.id == accounts.c.participant_id)
        .order_by(accounts.c.account)
    )
    return [Member(*row) for row in found]


@dataclass(frozen=True, slots=True)
class PriceSeries:
    """Prices and volumes of one round; price is NaN where nothing traded."""

    round: int
    interval: NDArray[np.int64]
    price_micro_per_kwh: FloatArray
    volume_milli_wh: NDArray[np.int64]


def price_series(connection: Connection, span: range, zone: int = 0) -> list[PriceSeries]:
    """Return each round's price and volume over the span."""
    found = connection.execute(
        select(rounds.c.round, rounds.c.interval, prices.c.price_micro_per_kwh, rounds.c.volume_milli_wh)
        .join(
            prices,
            (prices.c.interval == rounds.c.interval) & (prices.c.round == rounds.c.round),
        )
        .where(prices.c.zone == zone, rounds.c.interval >= span.start, rounds.c.interval < span.stop)
        .order_by(rounds.c.round, rounds.c.interval)
    )
    by_round: defaultdict[int, list[tuple[int, float, int]]] = defaultdict(list)
    for number, interval, price, volume in found:
        is_traded = volume > 0 and price is not None
        by_round[number].append((interval, float(price) if is_traded else np.nan, volume))
    return [
        PriceSeries(
            number,
            np.array([r[0] for r in rows], np.int64),
            np.array([r[1] for r in rows]),
            np.array([r[2] for r in rows], np.int64),
        )
        for number, rows in sorted(by_round.items())
    ]


def tariff_series(connection: Connection, span: range, zone: int = 0) -> NDArray[np.int64]:
    """Return the supplier's tariff, `(n, 3)`: interval, short, long (micro-credit per kWh)."""
    found = connection.execute(
        select(tariffs.c.interval, tariffs.c.short_micro_per_kwh, tariffs.c.long_micro_per_kwh)
        .where(tariffs.c.zone == zone, tariffs.c.interval >= span.start, tariffs.c.interval < span.stop)
        .order_by(tariffs.c.interval)
    ).all()
    return np.array([tuple(row) for row in found], np.int64).reshape(-1, 3)


def island_intervals(connection: Connection, span: range) -> NDArray[np.bool_]:
    """Return in which intervals each member's zone had island prices, `(n_members, n_intervals)`."""
    row = {member.account: i for i, member in enumerate(members(connection))}
    result = np.zeros((len(row), len(span)), np.bool_)
    found = connection.execute(
        select(accounts.c.account, tariffs.c.interval)
        .join(tariffs, tariffs.c.zone == accounts.c.zone)
        .where(tariffs.c.is_island, tariffs.c.interval >= span.start, tariffs.c.interval < span.stop)
    )
    for account, interval in found:
        result[row[account], interval - span.start] = True
    return result


ENERGY_COLUMNS = (
    "terminal_wh",
    "source_wh",
    "sink_wh",
    "stored_delta_wh",
    "loss_wh",
    "curtailed_wh",
    "unserved_wh",
)


def energy_by_kind(connection: Connection, span: range) -> dict[str, dict[str, float]]:
    """Return the energies of all devices of a kind over the span, Wh."""
    sums = [func.sum(device_intervals.c[name]) for name in ENERGY_COLUMNS]
    found = connection.execute(
        select(devices.c.kind, *sums)
        .join(device_intervals, device_intervals.c.device == devices.c.id)
        .where(device_intervals.c.interval >= span.start, device_intervals.c.interval < span.stop)
        .group_by(devices.c.kind)
        .order_by(devices.c.kind)
    )
    return {row[0]: dict(zip(ENERGY_COLUMNS, map(float, row[1:]), strict=True)) for row in found}


@dataclass(frozen=True, slots=True)
class StorageSeries:
    """A storage's content at the end of each interval."""

    device: int
    name: str
    kind: str
    capacity_wh: float
    reserve_wh: float
    interval: NDArray[np.int64]
    energy_wh: FloatArray


def storage_series(connection: Connection, span: range) -> list[StorageSeries]:
    """Return the content of every storage over the span, by device."""
    series = []
    for row in connection.execute(select(devices).order_by(devices.c.id)):
        parameters = json.loads(row.parameters)
        capacity_wh = float(parameters.get("capacity_wh", 0.0))
        if capacity_wh <= 0:
            continue
        found = connection.execute(
            select(device_intervals.c.interval, device_intervals.c.energy_wh)
            .where(
                device_intervals.c.device == row.id,
                device_intervals.c.interval >= span.start,
                device_intervals.c.interval < span.stop,
            )
            .order_by(device_intervals.c.interval)
        ).all()
        series.append(
            StorageSeries(
                row.id,
                row.name,
                row.kind,
                capacity_wh,
                float(parameters.get("reserve_wh", 0.0)),
                np.array([r[0] for r in found], np.int64),
                np.array([r[1] for r in found], np.float64),
            )
        )
    return series


@dataclass(frozen=True, slots=True)
class Loading:
    """Peak power of a node per interval against its capacity, W."""

    node: str
    parent: str | None
    import_cap_w: float
    export_cap_w: float
    interval: NDArray[np.int64]
    peak_import_w: FloatArray
    peak_export_w: FloatArray


def loading(connection: Connection, span: range, *, connections: bool = False) -> list[Loading]:
    """Return the loading of the network's nodes; those of single connections only if asked for."""
    result = []
    for node in connection.execute(select(nodes)):
        if node.name.startswith("connection:") and not connections:
            continue
        found = connection.execute(
            select(node_intervals.c.interval, node_intervals.c.peak_import_w, node_intervals.c.peak_export_w)
            .where(
                node_intervals.c.node == node.name,
                node_intervals.c.interval >= span.start,
                node_intervals.c.interval < span.stop,
            )
            .order_by(node_intervals.c.interval)
        ).all()
        table = np.array([tuple(row) for row in found], np.float64).reshape(-1, 3)
        result.append(
            Loading(
                node.name,
                node.parent,
                node.import_cap_w,
                node.export_cap_w,
                table[:, 0].astype(np.int64),
                table[:, 1],
                table[:, 2],
            )
        )
    return result


@dataclass(frozen=True, slots=True)
class AccountDay:
    """One account over a span: energy and money by where they went, in the market's integers."""

    account: int
    sold_milli_wh: int
    bought_milli_wh: int
    traded_pico: int  # received on fills, fee included; negative when paid
    imbalance_pico: int
    imported_milli_wh: int  # metered, by interval
    exported_milli_wh: int

    @property
    def received_pico(self) -> int:
        """Money received in the market and for imbalance; negative when paid."""
        return self.traded_pico + self.imbalance_pico


def account_days(connection: Connection, span: range) -> dict[int, AccountDay]:
    """Return every account's energy and money over the span."""
    result: dict[int, list[int]] = {
        account: [0] * 6 for account in connection.execute(select(accounts.c.account)).scalars()
    }
    for row in _in_span(connection, fills, span):
        entry = result[row.account]
        entry[1 if row.is_buy else 0] += row.quantity_milli_wh
        entry[2] += row.amount_pico
    for row in _in_span(connection, imbalances, span):
        entry = result[row.account]
        entry[3] += row.amount_pico
        entry[4 if row.metered_milli_wh < 0 else 5] += abs(row.metered_milli_wh)
    return {account: AccountDay(account, *entry) for account, entry in sorted(result.items())}


def _in_span(connection: Connection, table: Table, span: range) -> Any:
    return connection.execute(
        select(table).where(table.c.interval >= span.start, table.c.interval < span.stop)
    )


def energy_by_interval(connection: Connection, span: range) -> dict[str, dict[str, FloatArray]]:
    """Return the energies of all devices of a kind per interval, Wh: kind, column, `(n_intervals,)`.

    They are rounded to a nano-watt-hour: beyond it the order shows in which a database adds.
    """
    sums = [func.sum(device_intervals.c[name]) for name in ENERGY_COLUMNS]
    found = connection.execute(
        select(devices.c.kind, device_intervals.c.interval, *sums)
        .join(device_intervals, device_intervals.c.device == devices.c.id)
        .where(device_intervals.c.interval >= span.start, device_intervals.c.interval < span.stop)
        .group_by(devices.c.kind, device_intervals.c.interval)
        .order_by(devices.c.kind, device_intervals.c.interval)
    )
    result: dict[str, dict[str, FloatArray]] = {}
    for kind, interval, *values in found:
        table = result.setdefault(kind, {name: np.zeros(len(span)) for name in ENERGY_COLUMNS})
        for name, value in zip(ENERGY_COLUMNS, values, strict=True):
            table[name][interval - span.start] = round(float(value), 9)
    return result


def net_exports(connection: Connection, span: range) -> tuple[IntMatrix, IntMatrix]:
    """Return metered and reference net export per member and interval, mWh, `(n_members, n_intervals)` each."""
    row = {member.account: i for i, member in enumerate(members(connection))}
    metered = np.zeros((len(row), len(span)), np.int64)
    reference = np.zeros_like(metered)
    for one in _in_span(connection, imbalances, span):
        metered[row[one.account], one.interval - span.start] = one.metered_milli_wh
    for one in _in_span(connection, reference_intervals, span):
        reference[row[one.account], one.interval - span.start] = one.net_export_milli_wh
    return metered, reference


def stored_at_end_wh(connection: Connection, span: range) -> tuple[dict[int, float], dict[int, float]]:
    """Return what each account's storages hold at the end of the span, for real and in the reference, Wh."""
    last = span.stop - 1
    real = {
        account: float(energy)
        for account, energy in connection.execute(
            select(devices.c.account, func.sum(device_intervals.c.energy_wh))
            .join(device_intervals, device_intervals.c.device == devices.c.id)
            .where(device_intervals.c.interval == last, devices.c.kind != "generator")
            .group_by(devices.c.account)
        )
    }
    reference = {
        row.account: row.stored_wh for row in _in_span(connection, reference_intervals, range(last, last + 1))
    }
    return real, reference


def imbalance_milli_wh(connection: Connection, span: range) -> IntMatrix:
    """Return every imbalance of the span, mWh, `(n,)`."""
    rows = [row.imbalance_milli_wh for row in _in_span(connection, imbalances, span)]
    return np.array(rows, np.int64)
