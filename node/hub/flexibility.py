"""Grid events as a virtual power plant: baselines before, contributions after, revenue split on chain.

```
two intervals before   baselines are fixed, their root and the buyer's money go on chain (RevenueSplit.open)
during                 the controller shares the request among the members' storages (node/controller/swarm)
at its end             each member's signed registers prove its contribution (record)
record window over     the revenue is paid into the members' accounts (pay), or the buyer has it back (refund)
```

Every step is planned in the same transaction as the interval's readings, and only once.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, insert, select, update

from market.flexibility import Baselines, baseline_of_days, baseline_of_schedule
from market.intervals import IntervalGrid
from market.units import MILLI_WH_PER_WH, PICO_PER_CREDIT
from node.chain.contracts import Contracts, Deployment
from node.chain.sender import ContractCall, Sender
from node.chain.typed_data import CompactSignature
from node.hub.dispatch_records import GridEvent
from node.scenario import FlexibilityEvent, Scenario
from node.store.tables_chain import chain_events
from node.store.tables_market import flex_events, flex_members, readings

# The root must be on chain before the event: fixed at the end of the interval two before its first one.
INTERVALS_BEFORE = 2
# contracts/RevenueSplit.vy, MAX_PAID.
PAID_AT_ONCE = 128
HISTORY_DAYS = 5
BUYER = "buyer"
# How an event is split: by RevenueSplit, or by its buyer itself.
CONTRACT = "contract"

PlannedExport = Callable[[range], NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class PlannedEvent:
    """A scenario's event in intervals, with its members' accounts and rows of devices."""

    name: str
    first: int
    last: int
    requested_w: float
    revenue_pico: int
    baseline: str
    accounts: tuple[int, ...]
    devices: NDArray[np.bool_]
    is_dispatched: bool = True  # the controller shares it as power; a frequency service answers by itself
    split: str = CONTRACT
    cap_w: float | None = None  # peak shaving


@dataclass(frozen=True, slots=True)
class SplitDesk:
    """Where the events' transactions go; None in studies without a chain."""

    sender: Sender
    contracts: Contracts
    deployment: Deployment


def planned_events(
    scenario: Scenario,
    account_of_device: NDArray[np.int64],
    is_storage: NDArray[np.bool_],
    first_account: int,
) -> tuple[PlannedEvent, ...]:
    """Return the scenario's events in intervals.

    Parameters
    ----------
    account_of_device : (n_devices,) int64, row of the participant
    is_storage : (n_devices,) bool
    first_account : int
        Account number of the first participant.
    """
    rows = {p.id: row for row, p in enumerate(scenario.participants)}
    result = []
    for event in scenario.events:
        if event.members is None:
            chosen = np.unique(account_of_device[is_storage])
        else:
            chosen = np.array(sorted(rows[name] for name in event.members), np.int64)
        first = _first_interval(scenario, event)
        result.append(
            PlannedEvent(
                event.id,
                first,
                first + event.duration_intervals - 1,
                event.requested_w,
                event.revenue_credits * PICO_PER_CREDIT,
                event.baseline,
                tuple((chosen + first_account).tolist()),
                is_storage & np.isin(account_of_device, chosen),
                cap_w=event.cap_w,
            )
        )
    return tuple(result)


def _first_interval(scenario: Scenario, event: FlexibilityEvent) -> int:
    day = scenario.local_date(event.day)
    begins = datetime.combine(day, time(event.start // 60 % 24, event.start % 60), scenario.zone)
    return scenario.grid.index_at(begins.astimezone(UTC).timestamp())


class Flexibility:
    """The hub's service for grid events."""

    def __init__(
        self,
        events: Sequence[PlannedEvent],
        grid: IntervalGrid,
        first_account: int,
        planned_export_wh: PlannedExport,
        record_window_s: int,
        desk: SplitDesk | None,
    ) -> None:
        self._events = tuple(events)
        self._grid = grid
        self._first_account = first_account
        self._planned_export_wh = planned_export_wh
        self._closes_after = -(-record_window_s // grid.length_s)
        self._desk = desk

    def during(self, interval: int) -> tuple[GridEvent, ...]:
        """Return the events that the controller has to serve in an interval."""
        return tuple(
            GridEvent(
                event.name,
                float(self._grid.start_s(event.first)),
                float(self._grid.end_s(event.last)),
                event.requested_w,
                members=event.devices,
                cap_w=event.cap_w,
            )
            for event in self._events
            if event.is_dispatched and event.first <= interval <= event.last
        )

    def adopt(self, event: PlannedEvent) -> None:
        """Record and pay an event that was opened outside of the plan, or before a restart."""
        self._events = (*self._events, event)

    def after(self, connection: Connection, interval: int) -> None:
        """Plan what is due at the end of an interval, in the caller's transaction."""
        for event in self._events:
            if interval == event.first - INTERVALS_BEFORE and event.is_dispatched:
                self.open(connection, event)
            elif interval == event.last:
                self._record(connection, event)
            elif interval == event.last + self._closes_after:
                self._pay(connection, event)

    # -------------------------------------------------------------- before

    def open(self, connection: Connection, event: PlannedEvent) -> None:
        """Fix an event's baselines and, where the contract splits it, commit them and the money on chain."""
        if self._stored(connection, event) is not None:
            return
        baselines = Baselines.commit(event.accounts, self._baseline(connection, event).tolist())
        done = connection.execute(
            insert(flex_events),
            {
                "name": event.name,
                "first": event.first,
                "last": event.last,
                "requested_w": round(event.requested_w),
                "revenue_pico": event.revenue_pico,
                "root": baselines.root,
                "state": "opened",
                "split": event.split,
            },
        )
        key = done.inserted_primary_key
        assert key is not None
        connection.execute(
            insert(flex_members),
            [
                {"event_id": key[0], "account": account, "baseline_milli_wh": baseline}
                for account, baseline in zip(baselines.account, baselines.baseline_milli_wh, strict=True)
            ],
        )
        if event.split == CONTRACT:
            arguments = (baselines.root, event.first, event.last, event.revenue_pico)
            self._enqueue(connection, "open", event.name, arguments)

    def _baseline(self, connection: Connection, event: PlannedEvent) -> NDArray[np.int64]:
        """Return what each member would export without the event, mWh over the whole event."""
        n = event.last - event.first + 1
        rows = np.array(event.accounts) - self._first_account
        if event.baseline == "schedule":
            planned = self._planned_export_wh(range(event.first, event.last + 1))[rows]
            return baseline_of_schedule(np.ceil(planned * MILLI_WH_PER_WH).astype(np.int64))
        if event.baseline == "previous_interval":
            last = event.first - INTERVALS_BEFORE
            metered = _metered(connection, event.accounts, range(last, last + 1))
            if not metered.size:  # a member's meter was silent
                return self._baseline(connection, _with_schedule(event))
            return metered[:, 0] * n
        per_day = 86_400 // self._grid.length_s
        days = []
        for back in range(1, HISTORY_DAYS + 1):
            span = range(event.first - back * per_day, event.last + 1 - back * per_day)
            if any(other.first < span.stop and span.start <= other.last for other in self._events):
                continue  # what was done for an event says nothing about a day without one
            metered = _metered(connection, event.accounts, span, is_partial=True)
            if metered.shape[1] == n:
                days.append(metered)
        if not days:  # the first day knows no other day
            return self._baseline(connection, _with_schedule(event))
        return baseline_of_days(np.stack(days, axis=1))

    # -------------------------------------------------------------- after

    def _record(self, connection: Connection, event: PlannedEvent) -> None:
        row = self._stored(connection, event)
        if row is None or row.state != "opened":
            return
        baselines = self._committed(connection, row.id)
        number = self._number(connection, row)
        for account, baseline in zip(baselines.account, baselines.baseline_milli_wh, strict=True):
            before = _register(connection, account, event.first - 1)
            after = _register(connection, account, event.last)
            if before is None or after is None:
                continue  # its meter was silent: what nobody measured is not paid
            contribution = after.register_milli_wh - before.register_milli_wh - baseline
            connection.execute(
                update(flex_members)
                .where(flex_members.c.event_id == row.id, flex_members.c.account == account)
                .values(contribution_milli_wh=max(contribution, 0))
            )
            if contribution > 0:
                self._enqueue(
                    connection,
                    "record",
                    f"{event.name}/{account}",
                    (number, account, baseline, baselines.proof(account), _signed(before), _signed(after)),
                )
        self._set_state(connection, row.id, "recorded")

    def _pay(self, connection: Connection, event: PlannedEvent) -> None:
        row = self._stored(connection, event)
        if row is None or row.state != "recorded":
            return
        number = self._number(connection, row)
        delivered = connection.execute(
            select(flex_members.c.account)
            .where(flex_members.c.event_id == row.id, flex_members.c.contribution_milli_wh > 0)
            .order_by(flex_members.c.account)
        ).scalars()
        accounts = list(delivered)
        if not accounts:
            self._enqueue(connection, "refund", event.name, (number,))
            self._set_state(connection, row.id, "refunded")
            return
        for at in range(0, len(accounts), PAID_AT_ONCE):
            part = accounts[at : at + PAID_AT_ONCE]
            self._enqueue(connection, "pay", f"{event.name}/{at}", (number, part))
        self._set_state(connection, row.id, "paid")

    def observe(self, connection: Connection) -> None:
        """Take over what the chain has paid to members."""
        by_contract = select(flex_events).where(
            flex_events.c.state == "paid", flex_events.c.split == CONTRACT
        )
        for row in connection.execute(by_contract):
            for paid in _chain_events(connection, "Paid"):
                if paid["id"] == row.chain_id:
                    connection.execute(
                        update(flex_members)
                        .where(flex_members.c.event_id == row.id, flex_members.c.account == paid["account"])
                        .values(paid_pico=int(paid["amount"]))
                    )

    # -------------------------------------------------------------- rows

    def _stored(self, connection: Connection, event: PlannedEvent) -> Any:
        return connection.execute(select(flex_events).where(flex_events.c.name == event.name)).one_or_none()

    def _committed(self, connection: Connection, event_id: int) -> Baselines:
        rows = connection.execute(
            select(flex_members.c.account, flex_members.c.baseline_milli_wh)
            .where(flex_members.c.event_id == event_id)
            .order_by(flex_members.c.account)
        ).all()
        return Baselines.commit([r.account for r in rows], [r.baseline_milli_wh for r in rows])

    def _number(self, connection: Connection, row: Any) -> int:
        """Return the event's number on chain, from the chain's own event; -1 without a chain.

        Anyone may open an event with our root: ours is our buyer's.
        """
        if self._desk is None:
            return -1
        buyer = self._desk.sender.address(BUYER)
        for opened in _chain_events(connection, "Opened"):
            if opened["details"][:3] == [f"0x{row.root.hex()}", f"0x{buyer.hex()}", row.first]:
                connection.execute(
                    update(flex_events).where(flex_events.c.id == row.id).values(chain_id=opened["id"])
                )
                return int(opened["id"])
        raise LookupError(f"grid event {row.name} was opened, but the chain has no such event")

    def _set_state(self, connection: Connection, event_id: int, state: str) -> None:
        connection.execute(update(flex_events).where(flex_events.c.id == event_id).values(state=state))

    def _enqueue(self, connection: Connection, function: str, ref: str, arguments: tuple[Any, ...]) -> None:
        if self._desk is None:
            return
        data = self._desk.contracts.split.encode(function, *arguments)
        call = ContractCall(f"flex-{function}", ref, BUYER, self._desk.deployment.split, data)
        self._desk.sender.enqueue(connection, call)


def _with_schedule(event: PlannedEvent) -> PlannedEvent:
    return replace(event, baseline="schedule")


def _register(connection: Connection, account: int, interval: int) -> Any:
    """Return the register that the account's meter signed; None if it was silent."""
    return connection.execute(
        select(readings).where(
            readings.c.account == account, readings.c.interval == interval, ~readings.c.is_substitute
        )
    ).one_or_none()


def _signed(row: Any) -> tuple[int, int, int]:
    return (row.register_milli_wh, *CompactSignature.from_bytes(row.signature))


def _metered(
    connection: Connection, accounts: Sequence[int], span: range, *, is_partial: bool = False
) -> NDArray[np.int64]:
    """Return metered net export per account and interval; fewer columns where registers are missing."""
    found = connection.execute(
        select(readings.c.account, readings.c.interval, readings.c.register_milli_wh).where(
            readings.c.account.in_(accounts),
            readings.c.interval >= span.start - 1,
            readings.c.interval < span.stop,
        )
    )
    by_account: dict[int, dict[int, int]] = {account: {} for account in accounts}
    for row in found:
        by_account[row.account][row.interval] = row.register_milli_wh
    columns = [
        t for t in span if all(t in registers and t - 1 in registers for registers in by_account.values())
    ]
    is_first = not any(span.start - 1 in registers for registers in by_account.values())
    if not is_partial and is_first and len(columns) < len(span):
        # The first reading of all starts from an installed register of zero.
        for registers in by_account.values():
            registers[span.start - 1] = 0
        columns = [t for t in span if all(t in registers for registers in by_account.values())]
    rows = [[registers[t] - registers[t - 1] for t in columns] for registers in by_account.values()]
    return np.array(rows, np.int64).reshape(len(accounts), len(columns))


def _chain_events(connection: Connection, name: str) -> list[dict[str, Any]]:
    rows = connection.execute(
        select(chain_events.c.arguments)
        .where(chain_events.c.name == name)
        .order_by(chain_events.c.block_number, chain_events.c.log_index)
    ).scalars()
    return [json.loads(text) for text in rows]
