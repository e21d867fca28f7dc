"""What the swarm did for the grid's frequency, as figures, lines and pictures: asked, given, scored, paid."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, func, select

from devices.frequency_area import Area, AreaState, advance
from market.units import MILLI_WH_PER_KWH, PICO_PER_CREDIT
from node.hub.flexibility import CONTRACT
from node.hub.frequency import RECOVERY_S, area_of
from node.hub.frequency_store import telemetry_milli_wh
from node.report.plots import BLUE, GREEN, GREY, ORANGE, TIME_AXIS, VERMILION, Figure, figure
from node.scenario import Scenario
from node.store.tables_devices import device_intervals, devices
from node.store.tables_frequency import frequency_intervals, frequency_steps
from node.store.tables_market import accounts, fills, flex_events, flex_members, participants

FloatArray = NDArray[np.float64]

MS_PER_S = 1_000
PPM = 1e6
PICTURE_S = 60  # a day is drawn by the minute
FIRST_S = 60  # of an incident are shown until somebody zooms out


@dataclass(frozen=True, slots=True)
class MemberShare:
    """What one member sold, delivered and was paid for a service."""

    name: str
    reserved_milli_wh: int
    delivered_milli_wh: int
    paid_pico: int


@dataclass(frozen=True, slots=True)
class ServiceFigures:
    """What became of a frequency service.

    Attributes
    ----------
    split : str
        `contract`, or how the buyer split it: `pro_rata`, `shapley`.
    reserved_w : float
        Power that was bought.
    asked_wh, delivered_wh : float
        By telemetry, both directions counted up.
    largest_error_pu, mean_error_pu : float or None
        Of what was given against what was asked while the record was followed, per unit of what was bought.
    lowest_hz, highest_hz : float or None
        Of the steps in which something was asked.
    alone_hz : float or None
        Lowest frequency of the same incident without the swarm.
    score : float or None
    recovered_wh, bought_back_milli_wh : None where a service injects and withdraws
        What members' storages gained in the two hours after it, and what members bought by orders meanwhile.
    """

    name: str
    first: int
    last: int
    split: str
    reserved_w: float
    asked_wh: float
    delivered_wh: float
    largest_error_pu: float | None
    mean_error_pu: float | None
    lowest_hz: float | None
    highest_hz: float | None
    alone_hz: float | None
    reserve_violations: int
    score: float | None
    revenue_pico: int
    recovered_wh: float | None
    bought_back_milli_wh: int | None
    members: tuple[MemberShare, ...]

    @property
    def paid_pico(self) -> int:
        """What members were paid together."""
        return sum(member.paid_pico for member in self.members)


def service_figures(connection: Connection, scenario: Scenario) -> tuple[ServiceFigures, ...]:
    """Return the figures of all frequency services that were bought, in the scenario's order."""
    if scenario.frequency is None:
        return ()
    stored = {row.name: row for row in connection.execute(select(flex_events))}
    wanted = [one.id for one in scenario.frequency.services]
    return tuple(_figures(connection, scenario, stored[name]) for name in wanted if name in stored)


def _figures(connection: Connection, scenario: Scenario, event: Any) -> ServiceFigures:
    assert scenario.frequency is not None
    intervals = range(event.first, event.last + 1)
    members = _members(connection, event.id)
    hours = len(intervals) * scenario.interval_s / 3_600
    reserved_w = sum(member.reserved_milli_wh for member in members) / 1_000 / hours
    steps = _steps(connection, intervals)
    numbers = [
        row.account
        for row in connection.execute(
            select(flex_members.c.account).where(flex_members.c.event_id == event.id)
        )
    ]
    delivered, asked = telemetry_milli_wh(connection, intervals, numbers)
    is_record = ~steps["is_incident"].astype(bool) & (steps["asked_w"] != 0.0)
    error = np.abs(steps["given_w"] - steps["asked_w"])[is_record] / max(reserved_w, 1.0)
    length = steps["length_ms"][is_record]
    f0 = scenario.frequency.area.f0_hz
    f = f0 + steps["deviation_hz"]
    incident = (
        next((one for one in scenario.frequency.incidents), None) if steps["is_incident"].any() else None
    )
    alone = None if incident is None else f0 + float(_alone_hz(area_of(scenario), incident.loss_pu).min())
    inside = frequency_intervals.c.interval.between(event.first, event.last)
    after = range(event.last + 1, event.last + 1 + RECOVERY_S // scenario.interval_s)
    violations = connection.execute(select(frequency_intervals.c.reserve_violations).where(inside)).scalars()
    return ServiceFigures(
        name=event.name,
        first=event.first,
        last=event.last,
        split=event.split,
        reserved_w=reserved_w,
        asked_wh=float(asked.sum()) / 1_000,
        delivered_wh=float(delivered.sum()) / 1_000,
        largest_error_pu=float(error.max()) if error.size else None,
        mean_error_pu=float(np.average(error, weights=length)) if error.size else None,
        lowest_hz=float(f.min()) if f.size else None,
        highest_hz=float(f.max()) if f.size else None,
        alone_hz=alone,
        reserve_violations=sum(violations),
        score=None if event.score_ppm is None else event.score_ppm / PPM,
        revenue_pico=event.revenue_pico,
        recovered_wh=None if event.split != CONTRACT else _recovered_wh(connection, numbers, after),
        bought_back_milli_wh=None
        if event.split != CONTRACT
        else _bought_milli_wh(connection, numbers, after),
        members=members,
    )


def _members(connection: Connection, event_id: int) -> tuple[MemberShare, ...]:
    found = connection.execute(
        select(
            participants.c.name,
            flex_members.c.reserved_milli_wh,
            flex_members.c.contribution_milli_wh,
            flex_members.c.paid_pico,
        )
        .join(accounts, accounts.c.account == flex_members.c.account)
        .join(participants, participants.c.id == accounts.c.participant_id)
        .where(flex_members.c.event_id == event_id)
        .order_by(flex_members.c.account)
    )
    return tuple(MemberShare(name, sold or 0, given or 0, paid or 0) for name, sold, given, paid in found)


def _recovered_wh(connection: Connection, numbers: list[int], after: range) -> float:
    """Return how much more the accounts' storages hold at the end of a span than before it."""
    stored = (
        select(func.sum(device_intervals.c.energy_wh))
        .join(devices, devices.c.id == device_intervals.c.device)
        .where(devices.c.account.in_(numbers), devices.c.kind != "generator")
    )
    levels = [
        connection.execute(stored.where(device_intervals.c.interval == interval)).scalar()
        for interval in (after.start - 1, after.stop - 1)
    ]
    before, now = levels
    return 0.0 if before is None or now is None else float(now - before)


def _bought_milli_wh(connection: Connection, numbers: list[int], after: range) -> int:
    bought = select(func.sum(fills.c.quantity_milli_wh)).where(
        fills.c.account.in_(numbers),
        fills.c.is_buy,
        fills.c.interval.between(after.start, after.stop - 1),
    )
    return int(connection.execute(bought).scalar() or 0)


def _steps(connection: Connection, intervals: range) -> dict[str, FloatArray]:
    """Return the stored steps of intervals as columns, in order of time."""
    t = frequency_steps.c
    columns = (t.interval, t.at_ms, t.length_ms, t.deviation_hz, t.asked_w, t.given_w, t.is_incident)
    found = connection.execute(
        select(*columns)
        .where(t.interval.between(intervals.start, intervals.stop - 1))
        .order_by(t.interval, t.at_ms)
    ).all()
    table = np.array(found, np.float64).reshape(len(found), len(columns))
    return {column.name: table[:, i] for i, column in enumerate(columns)}


def _alone_hz(area: Area, loss_pu: float, length_s: float = 60.0, step_s: float = 0.1) -> FloatArray:
    """Return the deviation after a loss that no storage answers, Hz."""
    state, found = AreaState(), []
    for _ in range(round(length_s / step_s)):
        state = advance(area, state, 0.0, loss_pu, step_s)
        found.append(state.speed_pu * area.f0_hz)
    return np.array(found)


# ------------------------------------------------------------------ lines


def lines(services: tuple[ServiceFigures, ...]) -> list[tuple[str, str]]:
    """Return one line per service, as name and text, for terminal and report alike."""
    return [(f"frequency service {one.name}", "; ".join(_facts(one))) for one in services]


def _facts(one: ServiceFigures) -> list[str]:
    facts = [f"{one.reserved_w / 1e3:.1f} kW of {len(one.members)} members"]
    if one.alone_hz is not None and one.lowest_hz is not None:
        facts.append(f"nadir {one.lowest_hz:.3f} Hz ({one.alone_hz:.3f} Hz without the swarm)")
    facts.append(f"{one.delivered_wh / 1e3:.2f} of {one.asked_wh / 1e3:.2f} kWh asked for delivered")
    if one.largest_error_pu is not None and one.mean_error_pu is not None:
        facts.append(f"tracking error {one.mean_error_pu:.2%} of rated, {one.largest_error_pu:.2%} at most")
    facts.append(f"reserves violated: {one.reserve_violations or 'never'}")
    if one.score is not None:
        facts.append(f"score {one.score:.3f}")
    if one.recovered_wh is not None and one.bought_back_milli_wh is not None:
        bought = one.bought_back_milli_wh / MILLI_WH_PER_KWH
        facts.append(
            f"afterwards storages gained {one.recovered_wh / 1e3:.2f} kWh, their owners bought {bought:.2f} kWh"
        )
    facts.append(_revenue(one))
    return facts


def _revenue(one: ServiceFigures) -> str:
    how = {"contract": "by RevenueSplit", "pro_rata": "by delivery", "shapley": "by Shapley value"}[one.split]
    each = ", ".join(f"{m.name} {m.paid_pico / PICO_PER_CREDIT:.3f}" for m in one.members)
    return f"{one.paid_pico / PICO_PER_CREDIT:.3f} of {one.revenue_pico / PICO_PER_CREDIT:.3f} credits {how}: {each}"


MEMBER_HEADS = ("service", "member", "sold, kW", "delivered, kWh", "paid, credits")


def tables(
    services: tuple[ServiceFigures, ...], interval_s: int
) -> dict[str, tuple[tuple[str, ...], list[tuple[str, ...]]]]:
    """Return one row per service and member, as text, by caption; nothing where no service was bought."""
    rows: list[tuple[str, ...]] = [
        (
            one.name,
            member.name,
            f"{member.reserved_milli_wh / 1e6 / ((one.last - one.first + 1) * interval_s / 3_600):,.2f}",
            f"{member.delivered_milli_wh / MILLI_WH_PER_KWH:,.3f}",
            f"{member.paid_pico / PICO_PER_CREDIT:,.4f}",
        )
        for one in services
        for member in one.members
    ]
    return (
        {"Frequency services: what members sold, delivered and were paid": (MEMBER_HEADS, rows)}
        if rows
        else {}
    )


DEFINITIONS: Mapping[str, str] = {
    "Frequency service": "Reserve bought by auction before it begins. Asked: the service curve at the grid's frequency "
    "times all that was bought. Given: what flowed beyond the plans. Delivered: what flowed as asked, by telemetry; "
    "paid by RevenueSplit only for what signed registers show above the committed baseline.",
    "Tracking error": "|given - asked| / bought, over the seconds in which the recorded frequency asked for "
    "something.",
    "Score": "Mean of accuracy (correlation), delay and precision, as PJM Manual 12 scores regulation, every 10 s.",
}

# ------------------------------------------------------------------ pictures


def pictures(connection: Connection, scenario: Scenario) -> dict[str, Figure]:
    """Return the figures of frequency with power, by element id; none without a frequency section."""
    services = service_figures(connection, scenario)
    found = {}
    for one in services:
        steps = _steps(connection, range(one.first, one.last + 1))
        if not steps["at_ms"].size:
            continue
        if one.alone_hz is None:
            found[f"frequency-{one.name}"] = _followed(scenario, one, steps)
        else:
            found[f"frequency-{one.name}"] = _incident(scenario, one, steps)
    return found


def _followed(scenario: Scenario, one: ServiceFigures, steps: Mapping[str, FloatArray]) -> Figure:
    """Draw a recorded day by the minute: what was asked and what was given."""
    assert scenario.frequency is not None
    start_s = scenario.grid.start_s(one.first)
    at_s = (steps["interval"] - one.first) * scenario.interval_s + steps["at_ms"] / MS_PER_S
    minute = (at_s // PICTURE_S).astype(np.int64)
    n = (one.last - one.first + 1) * scenario.interval_s // PICTURE_S
    weight = steps["length_ms"] / MS_PER_S / PICTURE_S

    def mean(name: str) -> FloatArray:
        return np.asarray(np.bincount(minute, weights=steps[name] * weight, minlength=n), np.float64)

    times = _times(start_s + np.arange(n, dtype=np.float64) * PICTURE_S)
    return _with_power(
        f"Service {one.name}: asked and given, means of a minute",
        [
            _line("asked", times, (mean("asked_w") / 1e3).tolist(), GREY, "y2", width=3),
            _line("given", times, (mean("given_w") / 1e3).tolist(), GREEN, "y2", width=1.2),
            _line("frequency off nominal", times, (mean("deviation_hz") * 1e3).tolist(), BLUE, "y", width=1),
        ],
        "mHz off nominal, while asked",
        TIME_AXIS,
    )


def _incident(scenario: Scenario, one: ServiceFigures, steps: Mapping[str, FloatArray]) -> Figure:
    """Draw an incident: frequency with and without the swarm, and its power."""
    assert scenario.frequency is not None
    f0 = scenario.frequency.area.f0_hz
    is_incident = steps["is_incident"] > 0
    at_s = steps["at_ms"][is_incident] / MS_PER_S
    at_s = at_s - at_s[0]
    loss_pu = scenario.frequency.incidents[0].loss_pu
    alone = f0 + _alone_hz(area_of(scenario), loss_pu, float(at_s[-1]))
    return _with_power(
        f"Service {one.name}: a lost generator, with and without the swarm",
        [
            _line("frequency", at_s.tolist(), (f0 + steps["deviation_hz"][is_incident]).tolist(), BLUE, "y"),
            _line(
                "without the swarm",
                (np.arange(alone.size) * 0.1).tolist(),
                alone.tolist(),
                VERMILION,
                "y",
                "dot",
            ),
            _line(
                "asked", at_s.tolist(), (steps["asked_w"][is_incident] / 1e3).tolist(), GREY, "y2", width=3
            ),
            _line("given", at_s.tolist(), (steps["given_w"][is_incident] / 1e3).tolist(), ORANGE, "y2"),
        ],
        "Hz",
        {"title": {"text": "s after the loss"}, "range": [-1, FIRST_S]},
    )


def _times(unix_s: FloatArray) -> list[str]:
    return [f"{stamp}Z" for stamp in unix_s.astype("datetime64[s]").astype(str).tolist()]


def _line(
    name: str, x: list[Any], y: list[float], colour: str, axis: str, dash: str = "solid", width: float = 2
) -> dict[str, Any]:
    style = {"color": colour, "dash": dash, "width": width}
    return {"type": "scatter", "name": name, "x": x, "y": y, "yaxis": axis, "line": style}


def _with_power(title: str, data: list[dict[str, Any]], left: str, time_axis: Mapping[str, Any]) -> Figure:
    right = {
        "title": {"text": "kW injected"},
        "overlaying": "y",
        "side": "right",
        "showgrid": False,
        "tickmode": "auto",
    }
    return figure(title, data, xaxis=dict(time_axis), yaxis={"title": {"text": left}}, yaxis2=right)
