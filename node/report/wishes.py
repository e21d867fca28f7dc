"""What became of members' wishes: how much they bought from the partner, group or source that they prefer."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, select

from market.orders import Source, Wish
from market.units import MILLI_WH_PER_KWH
from node.scenario import Scenario
from node.scenario.wishes import groups, wishes
from node.store.tables_market import accounts, trades

HEADS = ("participant", "would like to buy from", "bought, kWh", "from there, kWh", "share")


@dataclass(frozen=True, slots=True)
class WishMet:
    """One wish of one member over a span; `met_milli_wh <= bought_milli_wh`."""

    name: str
    wish: str
    bought_milli_wh: int
    met_milli_wh: int


def wishes_met(connection: Connection, scenario: Scenario, span: range) -> tuple[WishMet, ...]:
    """Return what every member with a wish bought, and how much of it as it wished."""
    known = connection.execute(
        select(accounts.c.account, accounts.c.member_of).order_by(accounts.c.account)
    ).all()
    group_of = {row.account: row.member_of for row in known}
    names = dict(zip(group_of, (p.name for p in scenario.participants), strict=True))
    sums = [trades.c.buyer, trades.c.seller, trades.c.source]
    found: Sequence[Any] = connection.execute(
        select(*sums, func.sum(trades.c.quantity_milli_wh))
        .where(trades.c.interval >= span.start, trades.c.interval < span.stop)
        .group_by(*sums)
    ).all()
    bought: defaultdict[int, list[tuple[int, int, int]]] = defaultdict(list)
    for buyer, seller, source, quantity in found:
        bought[buyer].append((seller, source, quantity))
    result = []
    for account, wish in zip(group_of, wishes(scenario, min(group_of)), strict=True):
        for words, is_met in _parts(wish, names, groups(scenario), group_of):
            lots = bought[account]
            result.append(
                WishMet(
                    names[account],
                    words,
                    sum(quantity for _, _, quantity in lots),
                    sum(quantity for seller, source, quantity in lots if is_met(seller, source)),
                )
            )
    return tuple(result)


def _parts(
    wish: Wish, names: Mapping[int, str], group_names: Sequence[str], group_of: Mapping[int, int]
) -> list[tuple[str, Callable[[int, int], bool]]]:
    """Return each part of a wish in words, and the test whether a seller and a source meet it."""
    parts: list[tuple[str, Callable[[int, int], bool]]] = []
    if wish.partner:
        parts.append((names[wish.partner], lambda seller, _: seller == wish.partner))
    if wish.group:
        parts.append(
            (f"group {group_names[wish.group - 1]}", lambda seller, _: group_of[seller] == wish.group)
        )
    if wish.source != Source.ANY:
        parts.append((wish.source.name.lower(), lambda _, source: source == wish.source))
    return parts


def tables(met: Sequence[WishMet]) -> dict[str, tuple[Sequence[str], Sequence[Sequence[str]]]]:
    """Return the report's table of wishes by caption; none where nobody has any."""
    if not met:
        return {}
    rows = [
        (
            one.name,
            one.wish,
            f"{one.bought_milli_wh / MILLI_WH_PER_KWH:,.2f}",
            f"{one.met_milli_wh / MILLI_WH_PER_KWH:,.2f}",
            f"{one.met_milli_wh / one.bought_milli_wh:.1%}" if one.bought_milli_wh else "-",
        )
        for one in met
    ]
    return {"Wishes": (HEADS, rows)}
