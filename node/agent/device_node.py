"""The loop of the agents: look ahead, plan, sign, publish; one account is a fleet of one.

A node hosts the agents of any number of accounts; their decisions are computed together (node/agent/strategy)
and signed with each account's own key. An agent knows its own meters up to now, the supplier's tariff, cleared
prices and its own positions, and nothing of the future.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from devices.state import FleetState
from market.levies import LevyRule
from market.orders import Order, Source, Wish
from market.zones import Zoning
from node.agent import storage_view
from node.agent.island_news import IslandNews
from node.agent.plan_bytes import plan_from_bytes, plan_to_bytes
from node.agent.strategy import (
    Held,
    OrderBatch,
    Outlook,
    Recovery,
    Schedule,
    StorageCalendar,
    StorageFleet,
    StoragePlan,
    day_ahead_orders,
    expected_load_and_solar,
    expected_price,
    intraday_orders,
    narrowed,
    plan_storages,
    recovering,
    reserve_price_micro_per_kwh,
    reserve_room_w,
    schedule,
    similar_net,
    to_orders,
)
from node.agent.strategy.timeslot_orders import in_timeslots, joined
from node.bus.memory import Bus
from node.bus.messages import TOPIC_ISLANDS, TOPIC_ORDERS, SignedOrder
from node.bus.messages import OrderBatch as OrderMessage
from node.chain import typed_data
from node.chain.keys import LocalSigner
from node.chain.typed_data import Domain
from node.scenario.wishes import wishes
from node.world.plant import Plant
from node.world.supplier import Supplier

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

# How far agents look ahead: past the next day-ahead horizon, so that its end does not distort today.
HORIZON_S = 36 * 3_600
# How often storages are planned anew in between: every hour.
REPLAN_S = 3_600
HISTORY_DAYS = 8


class Meters(Protocol):
    """What agents have measured themselves: mean power per account, strictly before an interval."""

    def history_w(self, until: int, n_intervals: int) -> tuple[FloatArray, FloatArray]:
        """Return load and solar of up to `n_intervals` before `until`, `(n_accounts, n)` each, newest last."""
        ...


class Positions(Protocol):
    """What the market has given so far."""

    def positions_milli_wh(self, intervals: range) -> IntArray:
        """Return sold minus bought, `(n_accounts, n_intervals)`."""
        ...

    def prices_micro_per_kwh(self, intervals: range) -> FloatArray:
        """Return the newest cleared prices, NaN where nothing traded, `(n_zones, n_intervals)`."""
        ...


@dataclass(frozen=True, slots=True)
class AgentKeys:
    """Who signs for each account: number, key epoch and key, in the order of the plant's participants."""

    account: IntArray
    epoch: IntArray
    signer: Sequence[LocalSigner]


class AgentFleet:
    """The agents of a plant's accounts."""

    def __init__(
        self,
        plant: Plant,
        start: FleetState,
        keys: AgentKeys,
        domain: Domain,
        supplier: Supplier,
        meters: Meters,
        positions: Positions,
        bus: Bus,
        *,
        is_signed: bool,
        zoning: Zoning | None = None,
        slot_of: Callable[[int], range] = lambda interval: range(interval, interval + 1),
    ) -> None:
        self._plant = plant
        self._storages: StorageFleet = storage_view.storage_fleet(plant, start)
        self._keys = keys
        self._epoch_of = dict(zip(keys.account.tolist(), keys.epoch.tolist(), strict=True))
        self._signer_of: Mapping[int, LocalSigner] = dict(
            zip(keys.account.tolist(), keys.signer, strict=True)
        )
        self._wish_of = dict(
            zip(keys.account.tolist(), wishes(plant.scenario, int(keys.account[0])), strict=True)
        )
        self._offer_wish: dict[tuple[int, Source], Wish] = {}
        self._domain = domain
        self._supplier = supplier
        self._meters = meters
        self._positions = positions
        self._bus = bus
        self._is_signed = is_signed
        self._slot_of = slot_of
        self._tree = None if zoning is None else zoning.tree
        self._zone = np.zeros(keys.account.size, np.int64) if zoning is None else zoning.of(keys.account)
        self._plan: StoragePlan | None = None
        self._islands = IslandNews(
            keys.account, supplier, self._tree, plant.topology.ids, plant.scenario.interval_s
        )
        bus.subscribe(TOPIC_ISLANDS, self._islands.hear)
        self._written: tuple[StoragePlan, bytes] | None = None
        self._held: tuple[Held, ...] = ()
        self._is_fit = np.ones(plant.storages.size, np.bool_)
        self._recoveries: tuple[Recovery, ...] = ()
        self._fee = float(plant.scenario.market.fee_micro_per_kwh)
        self._gets_levies_back = np.array(
            [LevyRule(p.levies) is LevyRule.NET_OF_FED_BACK for p in plant.scenario.participants]
        )
        self._per_day = 86_400 // plant.scenario.interval_s
        self._n_horizon = HORIZON_S // plant.scenario.interval_s

    def day_ahead(self, at: int, intervals: range, state: FleetState) -> int:
        """Publish the orders of a day-ahead round; return how many.

        Parameters
        ----------
        at : int
            The interval that begins now; meters are known up to it.
        intervals : range
            What the round clears.
        state : FleetState
            The devices as measured now.
        """
        first = max(at, self._delivery_start())
        span = range(first, max(intervals.stop, first + self._n_horizon))
        outlook = self._outlook(at, span, is_for_orders=True)
        plan = self._plan_storages(outlook, storage_view.usable_wh(self._plant, state))
        places = np.arange(intervals.start - first, intervals.stop - first)
        batch = day_ahead_orders(self._storages, outlook, plan, places)
        return self._publish(in_timeslots(batch, self._slot_of))

    def begin(self, at: int, state: FleetState) -> Schedule:
        """Decide, when an interval begins, what every account aims at; plan storages anew if it is time."""
        usable = storage_view.usable_wh(self._plant, state)
        every = max(1, REPLAN_S // self._plant.scenario.interval_s)
        if self._plan is None or at % every == 0 or at >= self._plan.first + self._plan.n_intervals:
            self._plan = self._plan_storages(self._outlook(at, range(at, at + self._n_horizon)), usable, at)
        outlook = self._outlook(at, range(at, at + 1))
        is_present = self._calendar(range(at, at + 1)).is_present[:, 0]
        return schedule(self._at(at), outlook, self._plan, 0, usable, is_present)

    def intraday(
        self, at: int, intervals: range, round_number: int, state: FleetState, now: Schedule | None
    ) -> int:
        """Publish the orders of a later round of a timeslot, from what is known as interval `at` goes on.

        `now` is what `begin` decided for interval `at`; None if that interval is not delivered.
        """
        assert self._plan is not None  # `begin` has planned
        span = range(at, intervals.stop)
        outlook = self._outlook(at, span, is_for_orders=True)
        days = self._calendar(span)
        usable = storage_view.usable_wh(self._plant, state)
        for k in range(intervals.start - at):
            power = now.power_w if k == 0 and now is not None else np.zeros_like(usable)
            usable = self._after(usable, power, days.trip_wh[:, k])
        batches = [
            intraday_orders(
                self._at(interval),
                outlook,
                self._plan,
                interval - at,
                usable,
                days.is_present[:, interval - at],
                round_number,
                n_intervals=len(intervals),
            )
            for interval in intervals
        ]
        return self._publish(in_timeslots(joined(batches), self._slot_of))

    def _after(self, usable_wh: FloatArray, power_w: FloatArray, trip_wh: FloatArray) -> FloatArray:
        """Return the level that each storage will have after an interval at this mean power."""
        assert self._plan is not None
        hours = self._plan.hours
        out = np.maximum(power_w, 0.0) / self._plan.discharge_efficiency_pu
        into = np.maximum(-power_w, 0.0) * self._plan.charge_efficiency_pu
        change = (into - out - self._storages.self_discharge_w) * hours - trip_wh
        return np.clip(usable_wh + change, 0.0, self._storages.capacity_wh)

    def reserve_offers(
        self, at: int, state: FleetState, duration_h: float, most_w: FloatArray, *, is_symmetric: bool
    ) -> tuple[FloatArray, FloatArray]:
        """Return what each storage offers as reserve now, W, and the least price, micro per kWh of availability.

        Parameters
        ----------
        duration_h : float
            For how long full power must be held.
        most_w : float64 (n_storages,)
            What a unit can reach in time; 0: it may not serve.
        """
        usable = storage_view.usable_wh(self._plant, state)
        most_w = most_w * self._is_fit
        room = reserve_room_w(self._storages, usable, duration_h, most_w, is_symmetric=is_symmetric)
        short, _ = self._supplier.prices(range(at, at + 1))
        energy_price = np.full(
            room.size, float(short[0]) + float(self._supplier.levies(range(at, at + 1))[0])
        )
        return room, reserve_price_micro_per_kwh(self._storages, energy_price)

    def take_out(self, is_fit: NDArray[np.bool_]) -> None:
        """Learn which devices may be given duty, `(n_devices,)`: no others have to deliver for the rest."""
        self._is_fit = is_fit[self._plant.storages]

    def _calendar(self, span: range) -> StorageCalendar:
        """Return when storages can be used: plugged in, and healthy as far as anybody knows now."""
        days = storage_view.calendar(self._plant, span)
        days.is_present[~self._is_fit] = False
        return days

    def hold(self, held: Held, at: int | None = None, state: FleetState | None = None) -> None:
        """Keep a reserve that was sold free of the market, from the interval before its first to its last.

        With a state, storages are planned anew from interval `at`, so that what is planned knows of the reserve.
        """
        self._held = (*self._held, held)
        if at is not None and state is not None:
            outlook = self._outlook(at, range(at, at + self._n_horizon))
            self._plan = self._plan_storages(outlook, storage_view.usable_wh(self._plant, state), at)

    def recover(self, recovery: Recovery) -> None:
        """Buy back what a service took."""
        self._recoveries = (*self._recoveries, recovery)

    def _at(self, interval: int) -> StorageFleet:
        """Return the storages as the market may use them in an interval."""
        storages = self._storages
        for held in self._held:
            if held.first - 1 <= interval <= held.last:
                storages = narrowed(storages, held)
                break  # what is sold for the next service is held from its own first interval on
        for recovery in self._recoveries:
            if recovery.first <= interval <= recovery.last:
                storages = recovering(storages, recovery)
        return storages

    def _plan_storages(
        self, outlook: Outlook, usable_wh: FloatArray, reserve_at: int | None = None
    ) -> StoragePlan:
        """Plan from a level; with what is held as reserve in an interval, if one is given."""
        storages = self._storages if reserve_at is None else self._at(reserve_at)
        span = range(outlook.first, outlook.first + outlook.n_intervals)
        days = self._calendar(span)
        return plan_storages(storages, days, outlook, np.minimum(usable_wh, storages.capacity_wh), self._plan)

    def forecast_w(self, at: int, ahead: int) -> tuple[FloatArray, FloatArray]:
        """Return the load and sun that agents expect for `ahead` intervals from `at` on, `(n_accounts, ahead)` each."""
        return expected_load_and_solar(*self._history_w(at), ahead, self._per_day)

    def _history_w(self, at: int) -> tuple[FloatArray, FloatArray]:
        """Return the load and sun that were measured before `at`, `(n_accounts, n_past)` each."""
        return self._meters.history_w(at, HISTORY_DAYS * self._per_day)

    def _outlook(self, at: int, span: range, *, is_for_orders: bool = False) -> Outlook:
        """Return what accounts expect; for orders also how it may come instead, which plans do not ask."""
        scenario = self._plant.scenario
        hours = scenario.interval_s / 3_600
        past_load, past_solar = self._history_w(at)
        load, solar = expected_load_and_solar(past_load, past_solar, span.stop - at, self._per_day)
        skip = span.start - at
        short, long = self._islands.tariffs(at, span)
        load = self._islands.served(load)
        similar = None
        if is_for_orders:
            similar = similar_net(past_solar - past_load, solar - load, self._per_day)[:, :, skip:] * hours
        levy = self._islands.levies(at, span)
        capacity = np.array([p.connection_capacity_w for p in scenario.participants])
        export = np.array(
            [
                p.connection_capacity_w if p.export_capacity_w is None else p.export_capacity_w
                for p in scenario.participants
            ]
        )
        return Outlook.of(
            span.start,
            scenario.interval_s,
            self._keys.account,
            capacity,
            export,
            load[:, skip:] * hours,
            solar[:, skip:] * hours,
            short,
            long,
            zone=self._zone,
            tree=self._islands.tree(),
            price_micro_per_kwh=self._expected_prices(span),
            levy_micro_per_kwh=levy,
            levy_back_micro_per_kwh=levy * self._gets_levies_back[:, None],
            fee_micro_per_kwh=self._fee,
            position_milli_wh=self._positions.positions_milli_wh(span),
            similar_net_wh=similar,
        )

    def _expected_prices(self, span: range) -> FloatArray:
        """Return prices by zone: cleared ones where there are some already, else what the days before suggest."""
        cleared = self._positions.prices_micro_per_kwh(span)
        past = self._positions.prices_micro_per_kwh(range(span.start - 7 * self._per_day, span.start))
        expected = np.stack([expected_price(zone, len(span), self._per_day) for zone in past])
        return np.where(np.isfinite(cleared), cleared, expected)

    def _delivery_start(self) -> int:
        return self._plant.scenario.delivery_intervals().start

    def _publish(self, batch: OrderBatch) -> int:
        epochs = np.array([self._epoch_of[account] for account in batch.account.tolist()], np.int64)
        by_account: dict[int, list[SignedOrder]] = {}
        orders = to_orders(batch, epochs)
        for order, source in orders:
            ready = self._sign(order, self._wish(order, source))
            by_account.setdefault(order.account, []).append(ready)
        for account, signed in by_account.items():
            self._bus.publish(TOPIC_ORDERS, OrderMessage(account, tuple(signed)))
        return len(orders)

    def _wish(self, order: Order, source: Source) -> Wish:
        """Return what goes beside an order: its owner's wish, or what an offer delivers from."""
        wish = self._wish_of[order.account]
        if order.is_buy:
            return wish
        key = order.account, source
        if key not in self._offer_wish:
            self._offer_wish[key] = replace(wish, source=source)
        return self._offer_wish[key]

    def _sign(self, order: Order, wish: Wish) -> SignedOrder:
        if not self._is_signed:
            return SignedOrder(order, 0, 0, wish)
        r, vs = typed_data.sign(self._signer_of[order.account], self._domain, order)
        return SignedOrder(order, r, vs, wish)

    def planned_export_wh(self, intervals: range) -> FloatArray:
        """Return the net export that each account plans for intervals ahead, `(n_accounts, n_intervals)`.

        Forecast load and sun with the storages' current plan: what an account commits to before an event.
        """
        assert self._plan is not None
        plan = self._plan
        outlook = self._outlook(plan.first, range(plan.first, plan.first + plan.n_intervals))
        columns = np.arange(intervals.start, intervals.stop) - plan.first
        net = outlook.net_export_wh[:, columns].copy()
        np.add.at(net, self._storages.account, plan.power_w[:, columns] * plan.hours)
        return net

    def to_bytes(self) -> bytes:
        """Return what the agents must remember across a restart: their current plan."""
        if self._plan is None:
            return b""
        if self._written is None or self._written[0] is not self._plan:
            self._written = self._plan, plan_to_bytes(self._plan)
        return self._written[1]

    def restore(self, data: bytes) -> None:
        """Take up the plan that `to_bytes` wrote."""
        self._plan = plan_from_bytes(data) if data else None
