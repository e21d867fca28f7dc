"""On a chain that takes fees a transaction that waits too long offers more; whichever bid is mined counts once."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import rlp
from eth_hash.auto import keccak
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from node.bench.live_community import OPERATOR, LiveCommunity
from node.chain.embedded import EmbeddedChain, Genesis
from node.chain.fee_bids import GWEI, FeePolicy
from node.chain.keys import derive
from node.chain.ports import (
    ChainUnavailable,
    Fees,
    Hash,
    Head,
    RejectionReason,
    Transaction,
    TransactionRejected,
)
from node.chain.sender import OutboxState, Sender
from node.store.tables_chain import fee_bids, outbox
from tests.unit.node.chain.live import CHAIN_ID, START_S, Node, contracts

PATIENCE = FeePolicy().patience_blocks
_NONCE, _TIP, _MOST, _DATA = 1, 2, 3, 7  # in an EIP-1559 transaction


class Market:
    """An embedded chain behind a pool that keeps transactions until they offer the base fee.

    Like a node's: a replacement has to offer a tenth more (go-ethereum's `--txpool.pricebump`), and what offers
    less than the base fee when it comes is refused.
    """

    def __init__(self, inner: EmbeddedChain) -> None:
        self._inner = inner
        self.base_fee = GWEI
        self.pool: dict[int, bytes] = {}  # by nonce: only the operator sends here
        self.is_deaf = False

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    def fees(self) -> Fees:
        tip = min(self.base_fee, GWEI)
        return Fees(2 * self.base_fee + tip, tip)

    def send_raw(self, raw: bytes) -> Hash:
        if self.is_deaf:
            raise ChainUnavailable("no answer")
        name, nonce = _hash(raw), _field(raw, _NONCE)
        if self._inner.transaction(name) is not None or self.pool.get(nonce) == raw:
            raise TransactionRejected(RejectionReason.KNOWN, "already known")
        if nonce < self._inner.nonce(derive(7, OPERATOR).address):
            raise TransactionRejected(RejectionReason.NONCE_TOO_LOW, "nonce too low")
        if _field(raw, _MOST) < self.base_fee:
            raise TransactionRejected(RejectionReason.UNDERPRICED, "max fee per gas less than block base fee")
        known = self.pool.get(nonce)
        if known is not None and any(10 * _field(raw, f) < 11 * _field(known, f) for f in (_TIP, _MOST)):
            raise TransactionRejected(RejectionReason.UNDERPRICED, "replacement transaction underpriced")
        self.pool[nonce] = raw
        return name

    def transaction(self, name: Hash) -> Transaction | None:
        for raw in self.pool.values():
            if _hash(raw) == name:
                return Transaction(name, b"", b"", _field(raw, _NONCE), b"", 0, None)
        return self._inner.transaction(name)

    def produce_block(self, timestamp_s: int) -> Head:
        for nonce in sorted(self.pool):
            if _field(self.pool[nonce], _MOST) < self.base_fee:
                break  # nothing of this sender can pass a nonce that waits
            self._inner.send_raw(self.pool.pop(nonce))
        return self._inner.produce_block(timestamp_s)


def _field(raw: bytes, position: int) -> int:
    return int.from_bytes(rlp.decode(raw[1:])[position], "big")


def _hash(raw: bytes) -> Hash:
    return keccak(raw)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    funded = {derive(7, OPERATOR).address: 10**24}
    chain = EmbeddedChain(tmp_path / "chain.db", Genesis(CHAIN_ID, START_S, funded=funded))
    started = Node.on(tmp_path, chain, LiveCommunity(chain, contracts(), 4))
    started.watcher.ingest()
    started.follow(Market(chain))
    yield started
    started.close()


def _bids(node: Node) -> list[list[bytes]]:
    """Return the raw bids of each transaction, in order."""
    found: dict[int, list[bytes]] = {}
    with node.store.read() as connection:
        for row in connection.execute(select(fee_bids).order_by(fee_bids.c.outbox_id, fee_bids.c.number)):
            found.setdefault(row.outbox_id, []).append(row.raw)
    return list(found.values())


def _rows(node: Node) -> list[tuple[str, Hash, bytes]]:
    with node.store.read() as connection:
        query = select(outbox.c.state, outbox.c.hash, outbox.c.raw).order_by(outbox.c.id)
        return [tuple(row) for row in connection.execute(query)]


def _waits(node: Node, blocks: int) -> None:
    for _ in range(blocks):
        node.mine(node.community.first)


def _is_settled_once(node: Node) -> None:
    node.watcher.ingest()
    assert node.differences() == []
    assert {state for state, _, _ in _rows(node)} == {OutboxState.FINAL}


def _wait_for_more(node: Node) -> None:
    """Plan an interval, let the base fee jump and so many blocks pass that a second bid is due."""
    node.plan(node.community.whole_interval(0, node.community.first))
    node.sender.drive()
    node.chain.base_fee = 50 * GWEI
    _waits(node, PATIENCE - 1)
    assert node.sender.drive().outbid == 0, "too early"
    _waits(node, 1)


def test_a_transaction_that_waits_too_long_is_replaced_with_the_same_nonce_and_payload(node: Node) -> None:
    _wait_for_more(node)
    assert node.sender.drive().outbid == 2
    for first, second in _bids(node):
        assert [_field(first, f) for f in (_NONCE, _DATA)] == [_field(second, f) for f in (_NONCE, _DATA)]
        for fee in (_TIP, _MOST):
            assert 10 * _field(second, fee) >= 11 * _field(first, fee)
        assert _field(second, _MOST) >= node.chain.base_fee
    assert node.sender.drive().outbid == 0, "the new bid has its own time"
    _waits(node, 1)
    assert node.sender.drive().final == 2
    assert [raw for _, _, raw in _rows(node)] == [second for _, second in _bids(node)]
    _is_settled_once(node)


def test_all_bids_are_stored_before_any_is_sent(node: Node, tmp_path: Path) -> None:
    _wait_for_more(node)
    node.chain.is_deaf = True
    with pytest.raises(ChainUnavailable):
        node.sender.drive()
    first, second = _bids(node)[0]
    assert node.chain.pool[0] == first != second
    node.chain.is_deaf = False
    again = node.restart(tmp_path, node.chain)
    again.recover()
    _waits(again, 1)
    again.sender.drive()
    _waits(again, PATIENCE)
    again.sender.drive()
    _waits(again, 1)
    again.sender.drive()
    assert _rows(again)[0][2] == second, "after the stop the stored bid was sent, not a third one"
    _is_settled_once(again)
    again.store.close()


def test_the_earlier_bid_may_be_mined_after_all_and_counts_once(node: Node) -> None:
    _wait_for_more(node)
    node.sender.drive()
    originals = [first for first, _ in _bids(node)]
    node.chain.base_fee = GWEI
    node.chain.pool = dict(enumerate(originals))  # whoever makes the block never saw the second ones
    _waits(node, 1)
    driven = node.sender.drive()
    assert (driven.mined, driven.final) == (2, 2)
    assert [raw for _, _, raw in _rows(node)] == originals
    assert [name for _, name, _ in _rows(node)] == [_hash(raw) for raw in originals]
    _is_settled_once(node)


def test_a_bid_that_the_chain_does_not_let_wait_is_raised_at_once(node: Node) -> None:
    node.plan(node.community.whole_interval(0, node.community.first))
    node.chain.is_deaf = True
    with pytest.raises(ChainUnavailable):
        node.sender.drive()
    node.chain.is_deaf, node.chain.base_fee = False, 50 * GWEI
    driven = node.sender.drive()
    assert (driven.sent, driven.outbid) == (2, 2)
    _waits(node, 1)
    assert node.sender.drive().final == 2
    _is_settled_once(node)


def test_nothing_is_offered_above_the_most_and_the_transaction_waits_for_a_cheaper_chain(node: Node) -> None:
    keys = {OPERATOR: node.community.keys[OPERATOR]}
    node.sender = Sender(node.store, node.chain, keys, None, FeePolicy(most_per_gas=20 * GWEI))
    _wait_for_more(node)
    node.sender.drive()
    for _ in range(4):
        _waits(node, PATIENCE)
        assert node.sender.drive().open == 2
    assert max(_field(raw, _MOST) for raws in _bids(node) for raw in raws) <= 20 * GWEI
    node.chain.base_fee = 10 * GWEI
    node.sender.drive()
    _waits(node, 1)
    assert node.sender.drive().final == 2
    _is_settled_once(node)


def test_a_chain_that_begins_to_take_fees_is_followed(node: Node) -> None:
    node.chain.base_fee = 0
    node.plan(node.community.whole_interval(0, node.community.first))
    assert node.sender.drive().outbid == 0
    assert _bids(node) == []
    node.chain.base_fee = 3 * GWEI
    _waits(node, 1)
    assert node.sender.drive().outbid == 2
    _waits(node, 1)
    assert node.sender.drive().final == 2
    assert [len(bids) for bids in _bids(node)] == [2, 2]
    _is_settled_once(node)


_WEI = st.integers(0, 600 * GWEI)


@given(_WEI, _WEI, _WEI, _WEI)
def test_a_next_bid_is_a_tenth_above_the_last_and_never_above_the_most(
    last_most: int, last_tip: int, asked_most: int, asked_tip: int
) -> None:
    policy = FeePolicy()
    last = policy.first(Fees(last_most, last_tip))
    assert last.max_priority_fee_per_gas <= last.max_fee_per_gas <= policy.most_per_gas
    offer = policy.next(last, Fees(asked_most, asked_tip))
    if offer is None:
        assert last.max_fee_per_gas * 9 >= policy.most_per_gas * 8 - 9
        return
    assert 10 * offer.max_fee_per_gas >= 11 * last.max_fee_per_gas
    assert offer.max_fee_per_gas >= min(asked_most, policy.most_per_gas)
    assert offer.max_priority_fee_per_gas <= offer.max_fee_per_gas <= policy.most_per_gas
