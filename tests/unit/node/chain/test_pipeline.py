"""Outbox, watcher, projection and reconciliation on an embedded chain with the real contracts."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError

from node.chain.embedded import EmbeddedChain
from node.chain.ports import CallReverted, ChainUnavailable, WrongChain
from node.chain.reconcile import reconcile_or_halt
from node.chain.sender import ContractCall, OutboxState, SettlementHalted
from node.store.tables_chain import blocks, chain_accounts, chain_events, chain_state, outbox
from tests.unit.node.chain.live import Node, contracts


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    started = Node.start(tmp_path)
    yield started
    started.close()


def _states(node: Node) -> list[str]:
    with node.store.read() as connection:
        return list(connection.execute(select(outbox.c.state).order_by(outbox.c.id)).scalars())


def test_an_interval_goes_from_plan_to_final_and_store_and_chain_agree(node: Node) -> None:
    node.watcher.ingest()
    first = node.community.first
    for i in range(3):
        driven = node.settle(i, first + i)
        assert (driven.mined, driven.final, driven.open) == (2, 2, 0)
    assert set(_states(node)) == {OutboxState.FINAL}
    assert node.differences() == []
    with node.store.read() as connection:
        account = connection.execute(select(chain_accounts).where(chain_accounts.c.account == 3)).one()
        assert (account.read, account.filled) == (first + 2, first + 2)
        assert account.register_milli_wh == 3 * 399_000
        # sold 400 Wh at 0.2 less the fee, metered 1 Wh short at 0.3, three times
        fee = node.community.deployment.parameters.fee_micro_per_kwh
        earned = 3 * (400_000 * (200_000 - fee) - 1_000 * 300_000)
        assert account.balance_pico == 10**17 + earned


def test_nonce_and_bytes_are_stored_before_the_first_broadcast(node: Node) -> None:
    chain = node.chain
    node.follow(_Deaf(chain))
    node.plan(node.community.whole_interval(0, node.community.first))
    with pytest.raises(ChainUnavailable):
        node.sender.drive()
    with node.store.read() as connection:
        signed = connection.execute(select(outbox.c.state, outbox.c.nonce, outbox.c.raw)).all()
    assert [(row.state, row.nonce) for row in signed] == [(OutboxState.SIGNED, 0), (OutboxState.SIGNED, 1)]
    node.follow(chain)
    node.sender.drive()
    with node.store.read() as connection:
        again = connection.execute(select(outbox.c.nonce, outbox.c.raw)).all()
    assert [(row.nonce, row.raw) for row in again] == [(row.nonce, row.raw) for row in signed]


def test_a_transaction_that_was_dropped_is_sent_again_byte_for_byte(node: Node) -> None:
    node.plan(node.community.whole_interval(0, node.community.first))
    node.sender.drive()
    hashes = _hashes(node)
    node.chain._waiting.clear()
    node.chain._waiting_of.clear()
    node.sender.drive()
    node.mine(node.community.first)
    node.sender.drive()
    assert _hashes(node) == hashes
    assert set(_states(node)) == {OutboxState.FINAL}


def test_what_was_dropped_is_sent_again_before_what_is_new(node: Node) -> None:
    """A chain that keeps no gaps refuses a nonce whose predecessor it has lost."""
    first = node.community.first
    node.plan(node.community.whole_interval(0, first))
    node.sender.drive()
    node.chain._waiting.clear()
    node.chain._waiting_of.clear()
    node.plan([node.community.tariffs(first + 1)])
    node.sender.drive()
    assert node.chain.waiting() == 3
    node.mine(first)
    node.sender.drive()
    assert set(_states(node)) == {OutboxState.FINAL}


def test_a_reverted_chunk_halts_settlement_with_the_contracts_reason_until_someone_looks(node: Node) -> None:
    node.plan([node.community.whole_interval(5, node.community.first)[1]])
    node.sender.drive()
    node.mine(node.community.first)
    with pytest.raises(SettlementHalted, match="settlement: sequence") as halted:
        node.sender.drive()
    assert (halted.value.kind, halted.value.ref) == ("chunk", "5")
    with pytest.raises(SettlementHalted, match="settlement: sequence"):
        node.sender.drive()


def test_the_same_thing_is_never_planned_twice(node: Node) -> None:
    calls = node.community.whole_interval(0, node.community.first)
    node.plan(calls)
    with pytest.raises(IntegrityError, match="UNIQUE"):
        node.plan(calls)
    assert len(_states(node)) == 2


def test_a_call_of_a_signer_whose_key_is_not_here_is_refused(node: Node) -> None:
    call = ContractCall("chunk", "0", "somebody", bytes(20), b"")
    with pytest.raises(KeyError, match="somebody"):
        node.plan([call])


@pytest.mark.parametrize(
    ("column", "value"),
    [("balance_pico", 1), ("owed_pico", 5), ("register_milli_wh", 7), ("position_milli_wh", -1), ("read", 1)],
)
def test_one_altered_row_is_found_with_account_and_amount(node: Node, column: str, value: int) -> None:
    node.settle(0, node.community.first)
    with node.store.begin() as connection:
        row = connection.execute(select(chain_accounts).where(chain_accounts.c.account == 4)).one()
        true = row._mapping[column]
        connection.execute(
            update(chain_accounts).where(chain_accounts.c.account == 4).values({column: value})
        )
    found = [x for x in node.differences() if x.field == column]
    assert [(x.account, x.store, x.chain) for x in found] == [(4, value, true)]
    with pytest.raises(SettlementHalted, match=f"account 4, .*{value}"):
        reconcile_or_halt(node.store, node.chain, contracts(), node.community.deployment)


def test_exits_debts_and_curtailments_are_projected_as_the_contract_does_them(node: Node) -> None:
    community = node.community
    node.watcher.ingest()
    node.settle(0, community.first)
    seller = community.members[1]
    community.send(seller.owner, "request_exit", seller.account, 10**15)
    community.send(seller.owner, "request_exit", seller.account, 10**20)  # all there is
    community.send(seller.owner, "set_agent", seller.account, seller.meter.address)
    registrar = community.keys["registrar"]
    community.send(registrar, "raise_capacity", seller.account, 2 * 10_000_000)
    community.send(registrar, "replace_meter", seller.account, seller.agent.address, 12)
    node.watcher.ingest()
    assert node.differences() == []
    # The exit answers for the next readings: everything is on its way out, the shortfall is taken from it.
    node.plan(
        [
            community.tariffs(community.first + 1),
            community.chunk(1, community.first + 1, (), [community.reading(seller, community.first + 1, 0)]),
        ]
    )
    node.sender.drive()
    node.mine(community.first + 1)
    node.sender.drive()
    node.watcher.ingest()
    assert node.differences() == []
    ready_s = node.chain.head().timestamp_s + community.deployment.parameters.exit_delay_s
    node.chain.produce_block(ready_s)
    community.send(community.members[0].owner, "withdraw", seller.account)
    node.watcher.ingest()
    assert node.differences() == []
    with node.store.read() as connection:
        names = set(connection.execute(select(chain_events.c.name)).scalars())
    assert {"ExitRequested", "Withdrawn", "MeterChanged", "KeyChanged", "ChunkSettled"} <= names


def test_nobody_can_request_an_exit_of_another(node: Node) -> None:
    with pytest.raises(CallReverted, match="ledger: owner"):
        node.community.send(node.community.members[0].owner, "request_exit", 3, 1)


def test_a_node_that_only_knows_its_disk_goes_on_where_it_stopped(node: Node, tmp_path: Path) -> None:
    node.settle(0, node.community.first)
    node.plan(node.community.whole_interval(1, node.community.first + 1))
    again = node.restart(tmp_path)
    found = again.recover()
    assert (found.driven.signed, found.driven.sent) == (2, 2)
    again.mine(node.community.first + 1)
    again.recover()
    assert again.differences() == []
    assert set(_states(again)) == {OutboxState.FINAL}
    again.store.close()


def test_a_chain_restored_from_an_older_copy_gets_the_same_bytes_again(node: Node, tmp_path: Path) -> None:
    node.settle(0, node.community.first)
    copy = tmp_path / "copy.db"
    node.chain.backup(copy)
    node.settle(1, node.community.first + 1)
    node.settle(2, node.community.first + 2)
    hashes, before = _hashes(node), _accounts(node)
    node.close()
    restored = EmbeddedChain(copy)
    again = node.restart(tmp_path, restored)
    assert again.recover().orphaned == 4
    again.mine(node.community.first + 2)
    again.recover()
    assert _hashes(again) == hashes
    assert _accounts(again) == before
    again.close()


def test_a_store_older_than_its_chain_is_refused_before_a_nonce_is_used_twice(
    node: Node, tmp_path: Path
) -> None:
    node.settle(0, node.community.first)
    copy = tmp_path / "old.db"
    node.store.backup(copy)
    node.settle(1, node.community.first + 1)
    node.store.close()
    for suffix in ("", "-wal", "-shm"):
        (tmp_path / f"store.db{suffix}").unlink(missing_ok=True)
    copy.rename(tmp_path / "store.db")
    again = node.restart(tmp_path)
    with pytest.raises(SettlementHalted, match="the store is older than the chain"):
        again.recover()
    again.store.close()


@pytest.mark.parametrize("depth", [1, 3, 8])
def test_a_reorganisation_rolls_back_to_the_fork_and_drives_on(
    node: Node, tmp_path: Path, depth: int
) -> None:
    community = node.community
    node.follow(_Lagging(node.chain, 20))
    node.watcher.ingest()
    node.settle(0, community.first)
    fork = tmp_path / "fork.db"
    node.chain.backup(fork)
    agreed = _accounts(node)
    node.settle(1, community.first + 1)
    for _ in range(depth - 1):
        node.chain.produce_block(node.chain.head().timestamp_s + 1)
    node.watcher.ingest()
    assert _accounts(node) != agreed

    other = EmbeddedChain(fork)
    for _ in range(depth + 1):  # the other branch is longer, and empty
        other.produce_block(other.head().timestamp_s + 2)
    first_chain, branch = node.chain, _Lagging(other, 20)
    node.follow(branch)
    assert node.watcher.ingest().rolled_back == depth
    assert _accounts(node) == agreed
    assert node.differences() == []
    # MINED but not on this branch: orphaned, and sent again as they are.
    hashes = _hashes(node)
    node.sender.drive()
    node.sender.drive()
    node.mine(community.first + 1)
    node.sender.drive()
    node.watcher.ingest()
    assert _hashes(node) == hashes
    assert node.differences() == []
    with node.store.read() as connection:
        state = connection.execute(select(chain_state)).one()
        newest = connection.execute(select(blocks).order_by(blocks.c.number.desc()).limit(1)).one()
    assert (state.block_number, state.next_sequence) == (branch.head().number, 2)
    assert newest.hash == branch.head().hash
    first_chain.close()


def test_the_store_says_when_the_chain_it_follows_is_another_one_altogether(
    node: Node, tmp_path: Path
) -> None:
    node.settle(0, node.community.first)
    other = tmp_path / "other"
    other.mkdir()
    stranger = Node.start(other, 2, note="another community")
    node.watcher._chain = stranger.chain
    with pytest.raises(WrongChain, match="another chain"):
        node.watcher.ingest()
    stranger.close()


def _hashes(node: Node) -> list[bytes]:
    with node.store.read() as connection:
        return list(connection.execute(select(outbox.c.hash).order_by(outbox.c.id)).scalars())


def _accounts(node: Node) -> list[Any]:
    columns = [column for column in chain_accounts.c if column.name != "block_number"]
    with node.store.read() as connection:
        return list(connection.execute(select(*columns).order_by(chain_accounts.c.account)))


class _Proxy:
    def __init__(self, chain: Any) -> None:
        self._inner = chain

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class _Deaf(_Proxy):
    """A chain that takes no transactions."""

    def send_raw(self, raw: bytes) -> bytes:
        raise ChainUnavailable(f"no answer to {len(raw)} bytes")


class _Lagging(_Proxy):
    """A chain whose blocks become final only some blocks later."""

    def __init__(self, chain: Any, depth: int) -> None:
        super().__init__(chain)
        self._depth = depth

    def finalized(self) -> int:
        return max(0, self._inner.head().number - self._depth)
