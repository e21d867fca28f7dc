"""Wishes of a scenario's participants: groups and partners by number, what can be sold from, what cannot be met."""

from collections.abc import Iterator, Sequence

from market.orders import Source, Wish
from node.scenario.mistakes import Location, Mistake
from node.scenario.models import Participant, Scenario


def groups(scenario: Scenario) -> list[str]:
    """Return the names of all groups; the n-th has the number n + 1."""
    return sorted({p.group for p in scenario.participants if p.group is not None})


def member_of(scenario: Scenario) -> list[int]:
    """Return the number of each participant's group, 0 for none."""
    number = {name: i + 1 for i, name in enumerate(groups(scenario))}
    return [0 if p.group is None else number[p.group] for p in scenario.participants]


def can_sell_from(participant: Participant) -> frozenset[Source]:
    """Return what a participant's devices can deliver from."""
    found = set()
    if participant.solar is not None:
        found.add(Source.SOLAR)
    if participant.devices:  # every device of a scenario stores energy
        found.add(Source.STORAGE)
    return frozenset(found)


def wishes(scenario: Scenario, first_account: int) -> Sequence[Wish]:
    """Return each participant's wish when it buys; its offers have the same but for the source."""
    account = {p.id: first_account + row for row, p in enumerate(scenario.participants)}
    number = {name: i + 1 for i, name in enumerate(groups(scenario))}
    found = []
    for participant in scenario.participants:
        strategy = participant.strategy
        partner = 0 if strategy.prefers_partner is None else account[strategy.prefers_partner]
        group = 0 if strategy.prefers_group is None else number[strategy.prefers_group]
        found.append(Wish(Source[strategy.prefers_source.upper()], partner, group))
    return found


def find_mistakes(scenario: Scenario) -> Iterator[Mistake]:
    """Yield wishes that nobody could ever meet: the door would refuse every order that has them."""
    people = scenario.participants
    for i, participant in enumerate(people):
        where: Location = ("participants", i, "strategy")
        others = [other for other in people if other is not participant]
        strategy = participant.strategy
        partner, group = strategy.prefers_partner, strategy.prefers_group
        if partner is not None and partner not in {other.id for other in others}:
            yield Mistake(
                (*where, "prefers_partner"), f"expected the id of another participant, got {partner!r}"
            )
        if group is not None and group not in {other.group for other in others}:
            yield Mistake((*where, "prefers_group"), f"expected a group with another member, got {group!r}")
        source = Source[strategy.prefers_source.upper()]
        if source != Source.ANY and not any(source in can_sell_from(other) for other in others):
            yield Mistake(
                (*where, "prefers_source"),
                f"expected what another participant has, got {strategy.prefers_source!r}",
            )
