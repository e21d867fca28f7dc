"""Frequency services: reserve bought from members, held by their agents, answered by the swarm, scored and paid.

```
two intervals before   members offer what they hold, the cheapest are taken at one price, baselines are fixed
one interval before    agents keep energy, room and power free for it
during                 units follow their curve (node/hub/swarm_run); steps and telemetry are stored
at its end             the answer is scored
                       `up`: RevenueSplit pays by signed registers (node/hub/flexibility)
                       `both`: the buyer pays price x score itself, split by delivery or by Shapley value
```

What the buyer pays itself reaches accounts by plain deposits: no contract enforces it, and members trust the hub's
telemetry for it. What RevenueSplit pays needs no trust in either.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, select, update

from devices.frequency_area import Area
from devices.frequency_response import (
    DYNAMIC_CONTAINMENT,
    FULL_DELIVERY_S,
    INITIATION_S,
    LINEAR_DROOP,
    ServiceCurve,
)
from devices.state import FleetState
from market.flexibility_reserve import ReserveOffers, procure
from market.flexibility_score import performance
from market.flexibility_split import SplitRule
from node.agent.strategy import Held, Recovery
from node.hub import frequency_store
from node.hub.dispatch_clock import MS_PER_S
from node.hub.flexibility import CONTRACT, INTERVALS_BEFORE, Flexibility, PlannedEvent, SplitDesk
from node.hub.frequency_payment import BuyerPayments
from node.hub.frequency_records import FrequencyInterval, FrequencyOutcome, Incident, Service
from node.scenario import Scenario
from node.scenario.frequency import FrequencyService
from node.store.tables_devices import device_intervals
from node.store.tables_market import flex_events, flex_members
from node.world.disturbances import local_time_s
from node.world.plant import Plant

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

MILLI = 1_000
SECONDS_PER_HOUR = 3_600.0
SECONDS_PER_DAY = 86_400
PPM = 1_000_000
# What an incident took is bought back within two hours: before the next one may come.
RECOVERY_S = 7_200
_CURVES: dict[str, ServiceCurve] = {"linear": LINEAR_DROOP, "dynamic_containment": DYNAMIC_CONTAINMENT}


class Reserves(Protocol):
    """The agents, as far as reserve concerns them."""

    def reserve_offers(
        self, at: int, state: FleetState, duration_h: float, most_w: FloatArray, *, is_symmetric: bool
    ) -> tuple[FloatArray, FloatArray]:
        """Return power and price that each storage offers."""
        ...

    def hold(self, held: Held, at: int | None = None, state: FleetState | None = None) -> None:
        """Keep what was sold free of the market; plan anew from a state, if one is given."""
        ...

    def recover(self, recovery: Recovery) -> None:
        """Buy back what a service took."""
        ...


@dataclass(frozen=True, slots=True)
class _Sold:
    """A service with its reserve: power by storage, in the order of `plant.storages`."""

    terms: FrequencyService
    first: int
    last: int
    power_w: FloatArray


class FrequencyServices:
    """The hub's service for the grid's frequency."""

    def __init__(
        self,
        scenario: Scenario,
        plant: Plant,
        record_pu: FloatArray,
        agents: Reserves,
        flexibility: Flexibility,
        first_account: int,
        desk: SplitDesk | None,
    ) -> None:
        """Prepare.

        Parameters
        ----------
        record_pu : float64 (86400,)
            Deviation in every second of every local day, per unit of nominal.
        """
        self._scenario = scenario
        self._plant = plant
        self._record_pu = record_pu
        self._agents = agents
        self._flexibility = flexibility
        self._first_account = first_account
        self._payments = BuyerPayments(plant.topology.node_of_participant, first_account, scenario.seed, desk)
        self._length_s = scenario.interval_s
        self._midnight_s = round(local_time_s(scenario, 0, 0))
        terms = () if scenario.frequency is None else scenario.frequency.services
        self._plans = tuple((one, *self._span(one)) for one in terms)
        self._sold: dict[str, _Sold] = {}

    def _span(self, terms: FrequencyService) -> tuple[int, int]:
        first = self._scenario.grid.index_at(local_time_s(self._scenario, terms.day, terms.start))
        return first, first + terms.duration_intervals - 1

    # -------------------------------------------------------------- during

    def during(self, interval: int) -> FrequencyInterval | None:
        """Return the frequency of an interval, if somebody answers it."""
        grid = self._scenario.frequency
        sold = next((s for s in self._sold.values() if s.first <= interval <= s.last), None)
        if grid is None or sold is None:
            return None
        start_s = self._scenario.grid.start_s(interval)
        seconds = (start_s - self._midnight_s + np.arange(self._length_s + 1)) % SECONDS_PER_DAY
        up_w = np.zeros(self._plant.fleet.n_devices)
        up_w[self._plant.storages] = sold.power_w
        down_w = up_w if sold.terms.direction == "both" else np.zeros_like(up_w)
        return FrequencyInterval(
            area=area_of(self._scenario),
            deviation_hz=self._record_pu[seconds] * grid.area.f0_hz,
            incidents=self._incidents(start_s),
            service=Service(
                sold.terms.id, _CURVES[sold.terms.curve], up_w, down_w, float(sold.terms.sustain_s)
            ),
            delay_s=grid.delay_s,
            message_loss_pu=grid.message_loss_pu,
            seed=self._scenario.seed,
        )

    def _incidents(self, start_s: int) -> tuple[Incident, ...]:
        assert self._scenario.frequency is not None
        found = []
        for one in self._scenario.frequency.incidents:
            at_ms = (
                round(local_time_s(self._scenario, one.day, one.start)) + one.after_s - start_s
            ) * MS_PER_S
            if 0 <= at_ms < self._length_s * MS_PER_S:
                found.append(Incident(one.id, at_ms, at_ms + one.simulated_s * MS_PER_S, one.loss_pu))
        return tuple(found)

    # -------------------------------------------------------------- after an interval

    def after(
        self, connection: Connection, interval: int, state: FleetState, outcome: FrequencyOutcome | None
    ) -> None:
        """Store what happened and plan what is due at the end of an interval, in the caller's transaction."""
        if outcome is not None:
            frequency_store.record(connection, interval, outcome, self._first_account)
        for terms, first, last in self._plans:
            if interval == first - INTERVALS_BEFORE:
                self._procure(connection, terms, first, last, state)
            elif interval == last and terms.id in self._sold:
                self._settle(connection, self._sold[terms.id])

    def _procure(
        self, connection: Connection, terms: FrequencyService, first: int, last: int, state: FleetState
    ) -> None:
        """Buy the reserve of a service; nothing is opened where nobody offers."""
        hours = (last - first + 1) * self._length_s / SECONDS_PER_HOUR
        room_w, price = self._agents.reserve_offers(
            first - 1,
            state,
            terms.sustain_s / SECONDS_PER_HOUR,
            self._most_w(terms),
            is_symmetric=terms.direction == "both",
        )
        owner = self._plant.participant[self._plant.storages]
        rows = np.unique(owner[room_w > 0])
        offered = np.bincount(owner, weights=room_w, minlength=len(self._scenario.participants))
        # An account offers at the price of the dearest unit that it needs for all of its offer.
        dearest = np.zeros(offered.size)
        np.maximum.at(dearest, owner, np.where(room_w > 0, price, 0.0))
        offers = ReserveOffers(
            rows + self._first_account,
            np.floor(offered[rows] * hours * MILLI).astype(np.int64),
            dearest[rows].astype(np.int64),
        )
        if not rows.size:
            return
        required = round(terms.power_w * hours * MILLI)
        reserve = procure(offers, required, terms.most_micro_per_kwh)
        if not reserve.cost_pico:
            return
        # Held first: what the baselines plan knows of the reserve already.
        taken = dict(zip(offers.account.tolist(), reserve.fills_milli_wh.tolist(), strict=True))
        self._hold(_Sold(terms, first, last, self._spread(terms, first, last, taken)), first - 1, state)
        self._open(connection, terms, first, last, {a: q for a, q in taken.items() if q}, reserve.cost_pico)

    def _most_w(self, terms: FrequencyService) -> FloatArray:
        """Return what each storage can reach within a second of a change, if it may serve."""
        assert self._scenario.frequency is not None
        rows, fleet = self._plant.storages, self._plant.fleet
        people = [p.id for p in self._scenario.participants]
        members = set(people) if terms.members is None else set(terms.members)
        may = np.array([p in members for p in people])[self._plant.participant[rows]]
        in_time_s = FULL_DELIVERY_S - min(self._scenario.frequency.delay_s, INITIATION_S)
        may &= self._plant.is_reserve[rows]
        return np.where(may, fleet.ramp_w_per_s[rows] * in_time_s, 0.0)

    def _open(
        self,
        connection: Connection,
        terms: FrequencyService,
        first: int,
        last: int,
        taken_milli_wh: Mapping[int, int],
        cost_pico: int,
    ) -> None:
        event = self._event(terms, first, last, tuple(taken_milli_wh), cost_pico)
        self._flexibility.open(connection, event)
        if event.split == CONTRACT:
            self._flexibility.adopt(event)
        event_id = self._stored(connection, terms).id
        for account, quantity in taken_milli_wh.items():
            connection.execute(
                update(flex_members)
                .where(flex_members.c.event_id == event_id, flex_members.c.account == account)
                .values(reserved_milli_wh=quantity)
            )

    def _event(
        self, terms: FrequencyService, first: int, last: int, accounts: tuple[int, ...], revenue_pico: int
    ) -> PlannedEvent:
        split = CONTRACT if terms.direction == "up" else terms.split
        nobody = np.zeros(self._plant.fleet.n_devices, np.bool_)
        return PlannedEvent(
            terms.id, first, last, terms.power_w, revenue_pico, "schedule", accounts, nobody,
            is_dispatched=False, split=split,
        )  # fmt: skip

    def _hold(self, sold: _Sold, at: int | None = None, state: FleetState | None = None) -> None:
        self._sold[sold.terms.id] = sold
        energy_wh = sold.power_w * (sold.terms.sustain_s / SECONDS_PER_HOUR)
        is_both = sold.terms.direction == "both"
        nothing = np.zeros_like(sold.power_w)
        self._agents.hold(
            Held(
                sold.first,
                sold.last,
                up_w=sold.power_w,
                down_w=sold.power_w if is_both else nothing,
                up_wh=energy_wh,
                down_wh=energy_wh if is_both else nothing,
            ),
            at,
            state,
        )

    def _recover(self, connection: Connection, sold: _Sold) -> None:
        """Have bought back what a service that injects only took: up to the levels before it began."""
        stored = connection.execute(
            select(device_intervals).where(device_intervals.c.interval == sold.first - 1)
        )
        levels = {row.device: row.energy_wh for row in stored}
        rows, fleet = self._plant.storages, self._plant.fleet
        held_wh = np.array([levels[row] for row in rows.tolist()]) - fleet.floor_wh[rows]
        level_wh = np.where(sold.power_w > 0, np.maximum(held_wh, 0.0), 0.0)
        # The next interval's gate has closed already: orders are for the one after.
        last = sold.last + RECOVERY_S // self._length_s
        self._agents.recover(Recovery(sold.last + 2, last, level_wh))

    # -------------------------------------------------------------- score and money

    def _settle(self, connection: Connection, sold: _Sold) -> None:
        intervals = range(sold.first, sold.last + 1)
        scored = performance(*frequency_store.samples(connection, intervals, self._length_s))
        score_ppm = PPM if scored is None else int(scored.score * PPM)
        row = self._stored(connection, sold.terms)
        connection.execute(update(flex_events).where(flex_events.c.id == row.id).values(score_ppm=score_ppm))
        if sold.terms.direction == "up":
            self._recover(connection, sold)
        else:
            self._payments.pay(
                connection,
                row.id,
                sold.terms.id,
                range(sold.first, sold.last + 1),
                row.revenue_pico * score_ppm // PPM,
                SplitRule[sold.terms.split.upper()],
            )

    def observe(self, connection: Connection) -> None:
        """Take over which deposits of the buyer are final on chain."""
        self._payments.observe(connection)

    # -------------------------------------------------------------- restart

    def restore(self, connection: Connection) -> None:
        """Take up what was sold before a restart: agents hold it again, and the contract's events go on."""
        for terms, first, last in self._plans:
            self._take_up(connection, terms, first, last)

    def _take_up(self, connection: Connection, terms: FrequencyService, first: int, last: int) -> None:
        """Have a stored reserve held, if there is one; who sold how much is stored by account."""
        row = connection.execute(select(flex_events).where(flex_events.c.name == terms.id)).one_or_none()
        if row is None:
            return
        members = connection.execute(select(flex_members).where(flex_members.c.event_id == row.id)).all()
        taken = {member.account: member.reserved_milli_wh or 0 for member in members}
        sold = _Sold(terms, first, last, self._spread(terms, first, last, taken))
        self._hold(sold)
        if row.split == CONTRACT:
            self._flexibility.adopt(self._event(terms, first, last, tuple(sorted(taken)), row.revenue_pico))
        if terms.direction == "up" and row.score_ppm is not None:
            self._recover(connection, sold)

    def _spread(
        self, terms: FrequencyService, first: int, last: int, taken_milli_wh: Mapping[int, int]
    ) -> FloatArray:
        """Return what each storage holds: its account's reserve, spread over the units by what they can reach."""
        hours = (last - first + 1) * self._length_s / SECONDS_PER_HOUR
        owner = self._plant.participant[self._plant.storages]
        sold_w = np.zeros(len(self._scenario.participants))
        for account, quantity in taken_milli_wh.items():
            sold_w[account - self._first_account] = quantity / MILLI / hours
        weight = self._most_w(terms)
        total = np.bincount(owner, weights=weight, minlength=sold_w.size)[owner]
        return np.asarray(sold_w[owner] * weight / np.where(total > 0, total, 1.0), np.float64)

    def _stored(self, connection: Connection, terms: FrequencyService) -> Any:
        return connection.execute(select(flex_events).where(flex_events.c.name == terms.id)).one()


def area_of(scenario: Scenario) -> Area:
    """Return the area of a scenario with a frequency section."""
    assert scenario.frequency is not None
    given = scenario.frequency.area
    return Area(
        given.inertia_s,
        given.damping_pu,
        given.droop_pu,
        given.governor_s,
        secondary_per_s=given.secondary_per_s,
        f0_hz=given.f0_hz,
        base_w=given.base_w,
    )
