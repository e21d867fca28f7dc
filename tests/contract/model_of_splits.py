"""The rules of RevenueSplit a second time, beside the model of Settlement: no tree, no words, no signatures."""

from copy import copy
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from tests.contract.model_state import MAX_REGISTER, need

if TYPE_CHECKING:
    from tests.contract.model import Model

CONTRACT = "split"
MAX_REVENUE = 2**79 - 1
MAX_ENERGY = 2**63 - 1
MAX_INTERVAL = 2**24 - 1


@dataclass(frozen=True)
class Register:
    """A register and who signed it for which interval."""

    value: int
    signer: str
    interval: int


@dataclass
class Event:
    """What a buyer offered; `shares` are (start, size) of what was recorded and not yet paid."""

    baselines: dict[int, int]
    buyer: str
    first: int
    last: int
    revenue: int
    total: int = 0
    shares: dict[int, tuple[int, int]] = field(default_factory=dict)


class Splits:
    """All events."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def copy(self) -> "Splits":
        """Return an independent copy."""
        other = copy(self)
        other.events = [replace(event, shares=dict(event.shares)) for event in self.events]
        return other

    @property
    def held(self) -> int:
        """Money that waits here: revenues, or what is still to be paid of them."""
        return sum(
            sum(_cut(event, *share) for share in event.shares.values()) if event.total else event.revenue
            for event in self.events
        )

    def open(
        self, m: "Model", buyer: str, baselines: dict[int, int], first: int, last: int, revenue: int
    ) -> None:
        need(m.now < first <= last <= MAX_INTERVAL, "split: interval")
        need(0 < revenue <= MAX_REVENUE, "split: revenue")
        m.take_tokens(buyer, CONTRACT, revenue)
        self.events.append(Event(baselines, buyer, first, last, revenue))

    def _event(self, number: int) -> Event:
        need(number < len(self.events) and self.events[number].revenue > 0, "split: event")
        return self.events[number]

    @staticmethod
    def _closed_s(m: "Model", event: Event) -> int:
        return m.end_s(event.last) + m.p.record_for_s

    def record(
        self, m: "Model", number: int, account: int, baseline: int, before: Register, after: Register
    ) -> None:
        event = self._event(number)
        need(m.end_s(event.last) <= m.now_s < self._closed_s(m, event), "split: time")
        need(account not in event.shares, "split: recorded")
        need(abs(baseline) <= MAX_ENERGY, "split: baseline")
        need(event.baselines.get(account) == baseline, "split: baseline")
        meters = []
        for register, interval in ((before, event.first - 1), (after, event.last)):
            need(abs(register.value) <= MAX_REGISTER, "registry: register")
            meters.append(m.meter_of(account, interval))
            is_signed = register.signer == meters[-1] and register.interval == interval
            need(is_signed, "registry: signature")
        need(meters[0] == meters[1], "split: meter")
        contribution = after.value - before.value - baseline
        need(contribution > 0, "split: undelivered")
        event.shares[account] = event.total, contribution
        event.total += contribution

    def pay(self, m: "Model", number: int, accounts: list[int]) -> None:
        event = self._event(number)
        need(m.now_s >= self._closed_s(m, event), "split: time")
        for account in accounts:
            need(account in event.shares, "split: share")
            m.accounts[account].balance += _cut(event, *event.shares.pop(account))

    def refund(self, m: "Model", number: int) -> None:
        event = self._event(number)
        need(m.now_s >= self._closed_s(m, event), "split: time")
        need(event.total == 0, "split: delivered")
        m.tokens[event.buyer] += event.revenue
        event.revenue = 0


def _cut(event: Event, start: int, size: int) -> int:
    """Return a share: a cut of the revenue between two rounded points."""
    return event.revenue * (start + size) // event.total - event.revenue * start // event.total
