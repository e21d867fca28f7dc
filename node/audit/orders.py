"""Orders of a bundle: what the agent signed, what the operator answered."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Final

from market.errors import MarketError
from market.orders import MAX_ACCOUNT, MAX_GROUP, Order, Source
from node.audit.lines import OrderLine
from node.audit.record import OPERATOR, ChainRecord
from node.chain import typed_data
from node.chain.ports import Address
from node.chain.signatures import BadSignature
from node.chain.typed_data import BadMessage, CompactSignature, Message

_SIGNATURE_BYTES: Final = 64
_SEQUENCES: Final = 2**63
_SOURCES: Final = frozenset(int(source) for source in Source)


def order_of(line: OrderLine) -> Order:
    """Return what the agent signed."""
    return Order(
        line.account,
        line.epoch,
        line.is_buy,
        line.lane,
        line.first,
        line.last,
        line.quantity_milli_wh,
        line.limit_micro_per_kwh,
    )


def signed_by(record: ChainRecord, message: Message, signature: bytes) -> Address | None:
    """Return who signed a message in the community's domain; None if nobody can have."""
    if len(signature) != _SIGNATURE_BYTES:
        return None
    try:
        compact = CompactSignature.from_bytes(signature)
        return typed_data.recover(record.deployment.domain, message, compact)
    except (BadSignature, BadMessage):
        return None


class OrderChecks:
    """Checks orders one by one, each signature once: an order for many intervals stands in many bundles."""

    def __init__(self, record: ChainRecord) -> None:
        self.record = record
        self._known: dict[int, OrderLine] = {}  # by number, orders that were right
        self._numbers: list[int] = []  # of all orders seen, sorted, and when they came
        self._times_s: list[int] = []

    def forget_before(self, interval: int) -> None:
        """Drop what no later bundle holds."""
        self._known = {n: line for n, line in self._known.items() if line.last >= interval}

    def check_all(self, interval: int, lines: Sequence[OrderLine]) -> Iterator[str]:
        """Yield what is wrong with the orders of a bundle, also beside earlier bundles."""
        here = {line.sequence: line for line in lines}
        for number, known in self._known.items():
            if known.first <= interval <= known.last and number not in here:
                yield f"order {number} covers this interval and stood in an earlier bundle, but not in this one"
        for line in lines:
            earlier = self._known.get(line.sequence)
            if earlier is None:
                yield from self._check(interval, line)
                yield from self._arrival(line)
                self._known[line.sequence] = line
            elif earlier != line:
                yield f"order {line.sequence} stood in an earlier bundle with another content"

    def _arrival(self, line: OrderLine) -> Iterator[str]:
        """Yield if receipts do not count in the order of their times."""
        at = bisect_left(self._numbers, line.sequence)
        if at < len(self._numbers) and self._numbers[at] == line.sequence:
            return  # seen before, in a bundle that lies further back than what is known
        for other, is_earlier in ((at - 1, True), (at, False)):
            if 0 <= other < len(self._numbers):
                number, time_s = self._numbers[other], self._times_s[other]
                if time_s != line.received_at_s and (time_s > line.received_at_s) == is_earlier:
                    yield (
                        f"order {line.sequence} has its receipt from {line.received_at_s}, "
                        f"order {number} from {time_s}: receipts are numbered as orders arrive"
                    )
        self._numbers.insert(at, line.sequence)
        self._times_s.insert(at, line.received_at_s)

    def missing(self, until: int) -> Iterator[str]:
        """Yield the receipts that must have stood in a bundle up to interval `until`, and did not.

        The door takes no order that ends more than the notice after it came. So what came before a receipt that
        is known was over by then, and if its number is in no bundle, the operator held the order back.
        """
        terms = self.record.ledger.terms
        expected = self._numbers[0] if self._numbers else 0
        for number, time_s in zip(self._numbers, self._times_s, strict=True):
            if number > expected and time_s // terms.length_s + terms.notice <= until:
                which = f"{expected}" if number == expected + 1 else f"{expected} to {number - 1}"
                yield f"no bundle holds the orders with receipts {which}, which arrived up to {time_s}"
            expected = number + 1

    def _check(self, interval: int, line: OrderLine) -> Iterator[str]:
        """Yield what is wrong with an order: bounds, hash, agent's signature, operator's receipt."""
        name = f"order {line.sequence}"
        order = order_of(line)
        try:
            order.check()
            hashed = typed_data.order_hash(self.record.deployment.domain, order)
        except (MarketError, BadMessage) as error:
            yield f"{name}: {error}"
            return
        if not 0 <= line.sequence < _SEQUENCES or line.source not in _SOURCES:
            yield f"{name}: source {line.source}, or its number, is out of range"
            return
        if not 0 <= line.partner <= MAX_ACCOUNT or not 0 <= line.group <= MAX_GROUP:
            yield f"{name}: partner {line.partner} or group {line.group} is out of range"
            return
        if not line.first <= interval <= line.last:
            yield f"{name} is for {line.first}..{line.last}"
        if hashed != line.hash:
            yield f"{name}: its content hashes to 0x{hashed.hex()}, the bundle says 0x{line.hash.hex()}"
        agent = self.record.agent(line.account, line.epoch)
        if agent is None:
            yield f"{name}: account {line.account} has no agent of epoch {line.epoch} on chain"
        elif signed_by(self.record, order, line.signature) != agent:
            yield f"{name}: its signature is not by the agent of account {line.account}"
        try:
            receipt = typed_data.Receipt(hashed, line.sequence, line.received_at_s)
            operator = self.record.holders.at(OPERATOR, line.received_at_s)
            if signed_by(self.record, receipt, line.receipt) != operator:
                yield f"{name}: its receipt (number, time) is not signed by the operator"
        except BadMessage as error:
            yield f"{name}: {error}"
