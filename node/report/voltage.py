"""What voltage optimisation did: voltages with and without it, energy saved, taps, and each customer's share.

"Without" is the twin of `node/world/voltage_watch.py`: a second run with its taps at home, not an estimate.
"""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

import numpy as np
from sqlalchemy import Connection, func, select

from market.levies import LevyRule, levies_pico
from market.units import PICO_PER_CREDIT
from node.controller.voltage import Band, TapTable, plan_taps, stay
from node.report import queries
from node.scenario import Scenario, Taps
from node.store.tables_devices import incidents
from node.store.tables_market import imbalances
from node.store.tables_voltage import tap_changes, voltage_accounts, voltage_intervals, voltage_nodes
from node.world.supplier import Supplier
from node.world.wiring import tap_changer


@dataclass(frozen=True, slots=True)
class Side:
    """The day with or without optimisation; energies in Wh."""

    low_pu: float
    high_pu: float
    outside_s: float
    source_wh: float
    loss_wh: float
    load_wh: float
    solar_wh: float
    curtailed_wh: float
    stored_wh: float
    deferred_wh: float
    switchings: int


@dataclass(frozen=True, slots=True)
class CustomerShare:
    """What optimisation did to one customer's meter and bill.

    Parameters
    ----------
    energy_milli_wh : net energy that its meter shows less (or exports more)
    saved_pico : less paid for imbalance, and fewer levies
    """

    name: str
    node: str
    low_pu: float
    high_pu: float
    energy_milli_wh: int
    saved_pico: int


@dataclass(frozen=True, slots=True)
class VoltageFigures:
    """All figures of voltage; `without` is None where nothing was optimised.

    Parameters
    ----------
    reached : share of the saving of the best sequence of positions found by search afterwards; None: no such saving
    violations : customers whose voltage left the band, each time one left it
    mean_ratio_pu : mean voltage of the taps' positions
    """

    with_it: Side
    without: Side | None
    customers: tuple[CustomerShare, ...]
    reached: float | None
    violations: tuple[str, ...]
    mean_ratio_pu: float
    home_ratio_pu: float
    changes: tuple[tuple[float, int, int, str], ...]

    @property
    def saved_wh(self) -> float:
        """Energy saved: less drawn by loads, rebound still owed taken off, and less lost."""
        one, other = self.with_it, self.without
        if other is None:
            return 0.0
        owed_wh = one.deferred_wh - other.deferred_wh
        return (other.load_wh - one.load_wh) - owed_wh + (other.loss_wh - one.loss_wh)

    @property
    def cvr_factor(self) -> float | None:
        """Return percent of energy saved per percent of voltage."""
        lowered = 1.0 - self.mean_ratio_pu / self.home_ratio_pu
        if self.without is None or abs(lowered) < 1e-9:
            return None
        return self.saved_wh / (self.without.load_wh + self.without.loss_wh) / lowered

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "with": _plain(self.with_it),
            "without": None if self.without is None else _plain(self.without),
            "saved_wh": self.saved_wh,
            "cvr_factor": self.cvr_factor,
            "reached": self.reached,
            "violations": list(self.violations),
            "customers": [_plain(customer) for customer in self.customers],
        }


def _plain(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__slots__}


def voltage_figures(connection: Connection, scenario: Scenario, span: range) -> VoltageFigures | None:
    """Compute the figures of a span; None where the scenario says nothing of voltage."""
    terms = scenario.voltage
    if terms is None:
        return None
    rows = intervals(connection, span)
    real, twin = rows[False], rows.get(True)
    taps = terms.taps
    home = 0 if taps is None else taps.home
    step_pu = 0.0 if taps is None else taps.step_pu
    return VoltageFigures(
        with_it=_side(scenario, real),
        without=None if twin is None else _side(scenario, twin),
        customers=() if twin is None else _customers(connection, scenario, span),
        reached=None if taps is None or twin is None else _reached(scenario, taps, real),
        violations=tuple(
            connection.execute(
                select(incidents.c.subject)
                .where(
                    incidents.c.kind.in_(("voltage_low", "voltage_high")),
                    incidents.c.interval >= span.start,
                    incidents.c.interval < span.stop,
                )
                .order_by(incidents.c.interval, incidents.c.number)
            ).scalars()
        ),
        mean_ratio_pu=1.0 + step_pu * float(np.mean([row.position for row in real])),
        home_ratio_pu=1.0 + step_pu * home,
        changes=tuple(
            (row.at_s, row.before, row.after, row.reason)
            for row in connection.execute(
                select(tap_changes)
                .where(tap_changes.c.interval >= span.start, tap_changes.c.interval < span.stop)
                .order_by(tap_changes.c.interval, tap_changes.c.number)
            )
        ),
    )


def intervals(connection: Connection, span: range) -> dict[bool, list[Any]]:
    """Return the stored rows of a span, in order; the key says whether they are the twin's."""
    found = connection.execute(
        select(voltage_intervals)
        .where(voltage_intervals.c.interval >= span.start, voltage_intervals.c.interval < span.stop)
        .order_by(voltage_intervals.c.is_twin, voltage_intervals.c.interval)
    ).all()
    return {is_twin: list(group) for is_twin, group in groupby(found, key=lambda row: row.is_twin)}


def network_loss_wh(connection: Connection, span: range) -> float:
    """Return what transformer and lines lost over a span, Wh; 0 where the scenario has none."""
    lost = connection.execute(
        select(func.sum(voltage_intervals.c.loss_wh)).where(
            voltage_intervals.c.is_twin.is_(False),
            voltage_intervals.c.interval >= span.start,
            voltage_intervals.c.interval < span.stop,
        )
    ).scalar()
    return float(lost or 0.0)


def _side(scenario: Scenario, rows: list[Any]) -> Side:
    def total(name: str) -> float:
        return float(sum(getattr(row, name) for row in rows))

    per_day = [list(group)[-1].switchings for group in _days(scenario, rows)]
    return Side(
        low_pu=min(row.low_pu for row in rows),
        high_pu=max(row.high_pu for row in rows),
        outside_s=total("outside_s"),
        source_wh=total("source_wh"),
        loss_wh=total("loss_wh"),
        load_wh=total("load_wh"),
        solar_wh=total("solar_wh"),
        curtailed_wh=total("curtailed_wh"),
        stored_wh=rows[-1].stored_wh,
        deferred_wh=rows[-1].deferred_wh,
        switchings=sum(per_day),
    )


def _days(scenario: Scenario, rows: list[Any]) -> list[list[Any]]:
    """Return the rows of each local day."""

    def day(row: Any) -> Any:
        return scenario.grid.start(row.interval).astimezone(scenario.zone).date()

    return [list(group) for _, group in groupby(rows, key=day)]


def _reached(scenario: Scenario, taps: Taps, rows: list[Any]) -> float | None:
    """Return the share that was reached of what the best sequence would have saved, day by day, in hindsight."""
    assert scenario.voltage is not None
    changer = tap_changer(taps)
    band = Band(scenario.voltage.low_pu, scenario.voltage.high_pu)
    chosen_w = best_w = home_w = 0.0
    start = taps.home
    for day in _days(scenario, rows):
        tried = [row for row in day if json.loads(row.options)[0]]
        table = TapTable(*(np.array([json.loads(row.options)[k] for row in tried]) for k in range(3)))
        position = np.array([row.position for row in tried])
        best = plan_taps(table, changer, band, start)
        chosen_w += float(table.drawn_w[np.arange(position.size), position - taps.lowest].sum())
        best_w += float(best.drawn_w.sum())
        home_w += float(stay(table, changer, band).drawn_w.sum())
        start = day[-1].position
    return (home_w - chosen_w) / (home_w - best_w) if home_w > best_w else None


def _customers(connection: Connection, scenario: Scenario, span: range) -> tuple[CustomerShare, ...]:
    metered, _ = queries.net_exports(connection, span)
    at_home = np.zeros_like(metered)
    received = [0] * metered.shape[0]  # more for imbalance than with the taps at home
    row_of = {member.account: row for row, member in enumerate(queries.members(connection))}
    pairs = connection.execute(
        select(
            voltage_accounts.c.interval,
            voltage_accounts.c.account,
            voltage_accounts.c.net_export_milli_wh,
            imbalances.c.amount_pico,
            voltage_accounts.c.amount_pico.label("twin_pico"),
        )
        .join(
            imbalances,
            (voltage_accounts.c.interval == imbalances.c.interval)
            & (voltage_accounts.c.account == imbalances.c.account),
        )
        .where(imbalances.c.interval >= span.start, imbalances.c.interval < span.stop)
    )
    for interval, account, net_export, amount, twin_amount in pairs:
        row = row_of[account]
        at_home[row, interval - span.start] = net_export
        received[row] += amount - twin_amount
    islands = queries.island_intervals(connection, span)
    rates = Supplier(scenario).levies(span)
    extremes = {
        row.node: (row.low, row.high)
        for row in connection.execute(
            select(
                voltage_nodes.c.node,
                func.min(voltage_nodes.c.low_pu).label("low"),
                func.max(voltage_nodes.c.high_pu).label("high"),
            )
            .where(
                voltage_nodes.c.is_twin.is_(False),
                voltage_nodes.c.interval >= span.start,
                voltage_nodes.c.interval < span.stop,
            )
            .group_by(voltage_nodes.c.node)
        )
    }
    result = []
    for row, person in enumerate(scenario.participants):  # accounts are numbered in their order
        rule = LevyRule(person.levies)
        levied, levied_at_home = (
            levies_pico(net[row], rates, rule, islands[row]) for net in (metered, at_home)
        )
        node = f"connection:{person.id}"
        result.append(
            CustomerShare(
                person.name,
                node,
                *extremes[node],
                int((metered[row] - at_home[row]).sum()),
                received[row] + levied_at_home - levied,
            )
        )
    return tuple(result)


def rows_for_people(figures: VoltageFigures) -> list[tuple[str, str]]:
    """Return the figures as name and text, for terminal and report alike."""
    one, other = figures.with_it, figures.without
    rows = [("voltage of customers", _voltages(one)), ("voltage violations", _violations(figures.violations))]
    if other is not None:
        rows.append(("... with the taps at home", _voltages(other)))
        base_wh = other.load_wh + other.loss_wh
        rows.append(
            (
                "saved by voltage",
                f"{figures.saved_wh / 1e3:+,.2f} kWh ({figures.saved_wh / base_wh:+.2%}): "
                f"loads {(other.load_wh - one.load_wh) / 1e3:+,.2f}, "
                f"rebound still owed {(other.deferred_wh - one.deferred_wh) / 1e3:+,.2f}, "
                f"losses {(other.loss_wh - one.loss_wh) / 1e3:+,.2f}",
            )
        )
        if figures.cvr_factor is not None:
            rows.append(
                (
                    "CVR factor",
                    f"{figures.cvr_factor:.2f}: % of energy per % of voltage, "
                    f"{1 - figures.mean_ratio_pu / figures.home_ratio_pu:.2%} lower on average",
                )
            )
        if figures.reached is not None:
            rows.append(("of the best tap sequence", f"{figures.reached:.1%}, found by search afterwards"))
        rows.append(
            (
                "solar curtailed by voltage",
                f"{one.curtailed_wh / 1e3:,.2f} kWh, {other.curtailed_wh / 1e3:,.2f} with the taps at home",
            )
        )
    rows.append(("tap changes", f"{len(figures.changes)}, {one.switchings} switchings"))
    rows.append(("network losses", f"{one.loss_wh / 1e3:,.2f} kWh, supplied by the network operator"))
    return rows


def _violations(names: tuple[str, ...]) -> str:
    count = Counter(name.removeprefix("connection:") for name in names)
    return ", ".join(f"{name} {times_out} x" for name, times_out in count.items()) or "none"


def _voltages(side: Side) -> str:
    text = f"{side.low_pu:.4f} to {side.high_pu:.4f} pu"
    return text if side.outside_s == 0 else f"{text}, {side.outside_s / 60:,.0f} customer-minutes outside"


CUSTOMER_HEADS = ("customer", "lowest, pu", "highest, pu", "meter shows less, kWh", "saved, credits")
WHY_PAID_LESS = (
    "Orders and trades are the same in both runs: every kWh that the meter shows less is a kWh less of imbalance "
    "at the supplier's price of that interval, and of levies."
)

DEFINITIONS: Mapping[str, str] = {
    "Voltage of customers": "Means of a minute at each connection, on its own phase, per unit of the rated voltage.",
    "Saved by voltage": "Energy that loads drew less, minus what their thermostats still have to catch up at the "
    "end, plus what transformer and lines lost less, against a second run of the same day with the taps at home.",
    "Saved by a customer": WHY_PAID_LESS,
    "CVR factor": "Percent of energy saved per percent of voltage lowered: about 0 for constant power, 1 for "
    "constant current, 2 for constant impedance; less where thermostats catch up.",
    "Best tap sequence": "The sequence of positions that would have saved most with as many switchings and everybody "
    "in the band, found by search over what every position would have done in every interval.",
}


def customer_row(customer: CustomerShare) -> tuple[str, ...]:
    """Return a customer's share as text."""
    return (
        customer.name,
        f"{customer.low_pu:.4f}",
        f"{customer.high_pu:.4f}",
        f"{customer.energy_milli_wh / 1e6:+,.3f}",
        f"{customer.saved_pico / PICO_PER_CREDIT:+,.4f}",
    )


def tables(figures: VoltageFigures, scenario: Scenario) -> Mapping[str, tuple[Any, Any]]:
    """Return the report's tables: what each customer saved, and why taps moved."""
    result: dict[str, tuple[Any, Any]] = {}
    if figures.customers:
        result["Voltage optimisation by customer"] = (
            CUSTOMER_HEADS,
            [customer_row(one) for one in figures.customers],
        )
    if figures.changes:
        result["Tap changes"] = (
            ("time", "from", "to", "why"),
            [
                (_local(scenario, at_s), f"{before:+d}", f"{after:+d}", why)
                for at_s, before, after, why in figures.changes
            ],
        )
    return result


def _local(scenario: Scenario, at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).astimezone(scenario.zone).strftime("%Y-%m-%d %H:%M:%S")
