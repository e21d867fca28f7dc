"""The pipeline on anvil: another implementation, real reorganisations, dropped transactions."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from eth_hash.auto import keccak
from sqlalchemy import select

from node.bench.live_community import OPERATOR, LiveCommunity
from node.chain.embedded import EmbeddedChain, Genesis
from node.chain.fee_bids import GWEI, FeePolicy
from node.chain.ports import ChainUnavailable, Fees, WrongChain
from node.chain.rpc import Finality, RpcChain
from node.chain.sender import ContractCall, OutboxState, SettlementHalted
from node.chain.transactions import sign_transaction
from node.store.tables_chain import carriers, chain_state, fee_bids, outbox
from tests.simulation.anvil import AnvilChain, anvil
from tests.unit.node.chain.live import CHAIN_ID, START_S, Node, contracts
from tests.unit.node.chain.stranger import GAS, STRANGER, carry, courier

pytestmark = pytest.mark.slow
DEPTHS = range(1, 21) if os.environ.get("SYMGRID_TEST_PROFILE") == "faults" else (1, 2, 5, 12, 20)


@pytest.fixture
def url() -> Iterator[str]:
    with anvil(CHAIN_ID, START_S) as started:
        yield started


@pytest.fixture
def chain(url: str) -> Iterator[AnvilChain]:
    opened = AnvilChain(url, CHAIN_ID, finality=Finality.DEPTH, depth=30)
    yield opened
    opened.close()


def _node(folder: Path, chain: AnvilChain) -> Node:
    return Node.on(folder, chain, LiveCommunity(chain, contracts(), 4))


def _states(node: Node) -> list[str]:
    with node.store.read() as connection:
        return list(connection.execute(select(outbox.c.state).order_by(outbox.c.id)).scalars())


def test_the_embedded_chain_takes_the_same_gas_and_holds_the_same_words(
    chain: AnvilChain, tmp_path: Path
) -> None:
    far, near = tmp_path / "far", tmp_path / "near"
    far.mkdir()
    near.mkdir()
    remote = _node(far, chain)
    local = Node.on(
        near,
        (embedded := EmbeddedChain(near / "chain.db", Genesis(CHAIN_ID, START_S))),
        LiveCommunity(embedded, contracts(), 4),
    )
    assert remote.community.deployment == local.community.deployment
    found = []
    for node in (remote, local):
        for i in range(3):
            node.settle(i, node.community.first + i)
        assert node.differences() == []
        with node.store.read() as connection:
            gas = connection.execute(select(outbox.c.gas_used).order_by(outbox.c.id)).scalars().all()
        words = contracts().settlement.encode("words", list(range(6)))
        found.append((gas, node.chain.call(node.community.deployment.settlement, words)))
    assert found[0] == found[1]
    local.close()
    remote.store.close()


@pytest.mark.parametrize("depth", DEPTHS)
def test_a_reorganisation_is_followed_and_driven_on(chain: AnvilChain, tmp_path: Path, depth: int) -> None:
    node = _node(tmp_path, chain)
    node.settle(0, node.community.first)
    for _ in range(depth + 2):
        chain.produce_block(chain.head().timestamp_s + 1)
    node.settle(1, node.community.first + 1)
    for _ in range(depth - 1):
        chain.produce_block(chain.head().timestamp_s + 1)
    node.watcher.ingest()
    chain.reorganise(depth)
    assert node.watcher.ingest().rolled_back == depth
    assert node.differences() == []
    for _ in range(3):
        node.sender.drive()
        node.mine(node.community.first + 1)
    for _ in range(31):
        chain.produce_block(chain.head().timestamp_s + 1)
    node.sender.drive()
    node.watcher.ingest()
    assert node.differences() == []
    assert set(_states(node)) == {OutboxState.FINAL}
    node.store.close()


def test_a_dropped_transaction_is_sent_again(chain: AnvilChain, tmp_path: Path) -> None:
    node = _node(tmp_path, chain)
    node.plan(node.community.whole_interval(0, node.community.first))
    node.sender.drive()
    with node.store.read() as connection:
        hashes = connection.execute(select(outbox.c.hash)).scalars().all()
    for transaction_hash in hashes:
        chain.drop(transaction_hash)
    assert node.sender.drive().mined == 0
    node.mine(node.community.first)
    assert node.sender.drive().mined == 2
    node.watcher.ingest()
    assert node.differences() == []
    node.store.close()


def test_a_revert_on_anvil_halts_with_the_contracts_reason(chain: AnvilChain, tmp_path: Path) -> None:
    node = _node(tmp_path, chain)
    node.plan([node.community.whole_interval(7, node.community.first)[1]])
    node.sender.drive()
    node.mine(node.community.first)
    with pytest.raises(SettlementHalted, match="settlement: sequence"):
        node.sender.drive()
    node.store.close()


def test_a_chain_id_that_is_not_ours_is_refused(url: str) -> None:
    with pytest.raises(WrongChain, match="serves chain 1848, expected 1849"):
        RpcChain(url, CHAIN_ID + 1)


def _carry(node: Node, call: ContractCall, nonce: int) -> bytes:
    """Let a stranger send a call's calldata; it waits for the next block."""
    raw, transaction_hash = sign_transaction(
        STRANGER, chain_id=CHAIN_ID, nonce=nonce, to=call.to, data=call.data, gas=GAS, fees=Fees(0, 0)
    )
    node.chain.send_raw(raw)
    return transaction_hash


def test_a_stranger_ahead_of_us_in_the_same_block_does_our_work(chain: AnvilChain, tmp_path: Path) -> None:
    node = _node(tmp_path, chain)
    calls = node.community.whole_interval(0, node.community.first)
    hashes = [_carry(node, call, nonce) for nonce, call in enumerate(calls)]
    node.plan(calls)
    node.sender.drive()
    node.mine(node.community.first)
    assert node.sender.drive().mined == 2
    node.watcher.ingest()
    assert node.differences() == []
    with node.store.read() as connection:
        found = connection.execute(select(carriers.c.hash).order_by(carriers.c.outbox_id)).scalars().all()
    assert found == hashes
    assert _states(node) == [OutboxState.MINED] * 2
    node.store.close()


def test_where_a_reorganisation_takes_the_strangers_transactions_away_ours_count(
    chain: AnvilChain, tmp_path: Path
) -> None:
    node = _node(tmp_path, chain)
    calls = node.community.whole_interval(0, node.community.first)
    for nonce, call in enumerate(calls):
        _carry(node, call, nonce)
    node.plan(calls)
    node.sender.drive()
    node.mine(node.community.first)
    node.sender.drive()
    node.watcher.ingest()
    chain.reorganise(1)
    for _ in range(3):
        node.sender.drive()
        node.mine(node.community.first)
    node.watcher.ingest()
    for _ in range(31):
        chain.produce_block(chain.head().timestamp_s + 1)
    node.sender.drive()
    node.watcher.ingest()
    assert set(_states(node)) == {OutboxState.FINAL}
    assert node.differences() == []
    with node.store.read() as connection:
        assert connection.execute(select(carriers)).all() == []
    node.store.close()


def test_a_chunk_through_a_strangers_contract_is_followed_on_anvil(chain: AnvilChain, tmp_path: Path) -> None:
    node = _node(tmp_path, chain)
    tariffs, chunk = node.community.whole_interval(0, node.community.first)
    through = courier(node, node.community.deployment.settlement)
    node.plan([tariffs])
    node.sender.drive()
    node.mine(node.community.first)
    node.plan([chunk])
    receipt = carry(node, through, chunk.data)
    node.sender.drive()
    node.mine(node.community.first)
    assert node.sender.drive().mined == 1
    node.watcher.ingest()
    assert node.differences() == []
    with node.store.read() as connection:
        assert connection.execute(select(carriers.c.hash)).scalars().all() == [receipt.transaction_hash]
    node.store.close()


def _dear(tmp_path: Path, chain: AnvilChain) -> Node:
    """Return a node that waits with two transactions whose fees have become too low."""
    node = _node(tmp_path, chain)
    node.watcher.ingest()
    chain.fund(node.community.keys[OPERATOR].address, 10**24)
    chain.base_fee = GWEI
    node.mine(node.community.first - 2)
    node.plan(node.community.whole_interval(0, node.community.first))
    node.sender.drive()
    chain.base_fee = 50 * GWEI
    node.mine(node.community.first)
    for _ in range(FeePolicy().patience_blocks - 1):
        chain.produce_block(chain.head().timestamp_s + 1)
    return node


def _bids(node: Node) -> list[bytes]:
    with node.store.read() as connection:
        query = select(fee_bids.c.raw).order_by(fee_bids.c.number, fee_bids.c.outbox_id)
        return list(connection.execute(query).scalars())


def _settled_once(node: Node, raws: list[bytes]) -> None:
    node.watcher.ingest()
    assert node.differences() == []
    with node.store.read() as connection:
        mined = connection.execute(select(outbox.c.raw).order_by(outbox.c.id)).scalars().all()
        n = connection.execute(select(chain_state.c.next_sequence)).scalar_one()
    assert (mined, n) == (raws, 1)
    node.store.close()


def test_a_transaction_that_offers_too_little_is_replaced_and_mined_once(
    chain: AnvilChain, tmp_path: Path
) -> None:
    node = _dear(tmp_path, chain)
    driven = node.sender.drive()
    assert (driven.mined, driven.outbid) == (0, 2)
    chain.produce_block(chain.head().timestamp_s + 1)
    assert node.sender.drive().mined == 2
    _settled_once(node, _bids(node)[2:])


def test_the_first_offer_may_be_mined_after_it_was_replaced(chain: AnvilChain, tmp_path: Path) -> None:
    node = _dear(tmp_path, chain)
    node.sender.drive()
    first, second = _bids(node)[:2], _bids(node)[2:]
    for raw in second:
        chain.drop(keccak(raw))
    chain.base_fee = GWEI
    chain.produce_block(chain.head().timestamp_s + 1)
    for raw in first:  # some other node of the network still has them
        chain.send_raw(raw)
    chain.produce_block(chain.head().timestamp_s + 1)
    assert node.sender.drive().mined == 2
    _settled_once(node, first)


def test_while_no_block_is_made_nothing_is_offered_on_top(chain: AnvilChain, tmp_path: Path) -> None:
    node = _dear(tmp_path, chain)
    assert node.sender.drive().outbid == 2
    for _ in range(5):
        assert node.sender.drive().outbid == 0
    assert len(_bids(node)) == 4
    node.store.close()


def test_a_block_that_was_replaced_has_neither_calls_nor_logs_but_is_unavailable(
    chain: AnvilChain, tmp_path: Path
) -> None:
    """A node behind a load balancer must not pass nothing off as everything."""
    node = _node(tmp_path, chain)
    where = (node.community.deployment.settlement,)
    newest = chain.block(chain.head().number)
    assert newest is not None
    assert chain.calls(newest, where) and chain.block_logs(newest, where)
    chain.reorganise(1)
    for ask in (chain.calls, chain.block_logs):
        with pytest.raises(ChainUnavailable):
            ask(newest, where)
    node.store.close()
