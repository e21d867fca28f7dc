"""The embedded chain's state against py-evm's account database: values, undo, roots; and whole blocks."""

from pathlib import Path
from typing import Any

import pytest
from eth.chains.base import ChainContext
from eth.consensus import NoProofConsensus
from eth.db.account import AccountDB
from eth.db.atomic import AtomicDB
from eth.vm.forks.prague import PragueVM
from eth.vm.forks.prague.blocks import PragueBlockHeader
from eth.vm.forks.prague.transactions import PragueTransactionBuilder
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from node.bench.live_community import LiveCommunity
from node.chain.direct import DirectCall, transact_all
from node.chain.embedded import EmbeddedChain, Genesis
from node.chain.embedded_state import FlatAccounts
from node.chain.ports import CallReverted
from tests.unit.node.chain.live import CHAIN_ID, START_S, contracts

ADDRESSES = [bytes(19) + bytes((i,)) for i in range(1, 5)]
SLOTS = [0, 1, 2**255, 77]
_ADDRESS = st.sampled_from(ADDRESSES)
_SLOT = st.sampled_from(SLOTS)


class AccountDatabases(RuleBasedStateMachine):
    """Does the same to both, and looks at everything after each step."""

    @initialize()
    def open(self) -> None:
        self.store: Any = AtomicDB()
        self.theirs: Any = AccountDB(AtomicDB())
        self.ours: Any = FlatAccounts(self.store)
        self.marks: list[tuple[Any, Any]] = []
        self.deleted: set[bytes] = set()

    def _both(self, name: str, *arguments: Any) -> None:
        getattr(self.theirs, name)(*arguments)
        getattr(self.ours, name)(*arguments)

    @rule(address=_ADDRESS, slot=_SLOT, value=st.integers(0, 3))
    def set_storage(self, address: bytes, slot: int, value: int) -> None:
        self._both("touch_account", address)
        self._both("set_storage", address, slot, value)

    @rule(address=_ADDRESS, amount=st.integers(0, 2))
    def set_balance(self, address: bytes, amount: int) -> None:
        self._both("set_balance", address, amount)

    @rule(address=_ADDRESS)
    def increment_nonce(self, address: bytes) -> None:
        self._both("increment_nonce", address)

    @rule(address=_ADDRESS, code=st.binary(max_size=3))
    def set_code(self, address: bytes, code: bytes) -> None:
        self._both("set_code", address, code)

    @rule(address=_ADDRESS)
    def touch(self, address: bytes) -> None:
        self._both("touch_account", address)

    @precondition(lambda self: not self.marks)
    @rule(address=_ADDRESS)
    def delete_account(self, address: bytes) -> None:
        # py-evm deletes at the end of a transaction, when nothing is undone any more.
        self._both("delete_account", address)

    @rule(address=_ADDRESS, slot=_SLOT)
    def warm(self, address: bytes, slot: int) -> None:
        self._both("mark_storage_warm", address, slot)
        self._both("mark_address_warm", address)

    @rule()
    def record(self) -> None:
        self.marks.append((self.theirs.record(), self.ours.record()))

    @precondition(lambda self: self.marks)
    @rule()
    def discard(self) -> None:
        theirs, ours = self.marks.pop()
        self.theirs.discard(theirs)
        self.ours.discard(ours)

    @precondition(lambda self: self.marks)
    @rule()
    def commit(self) -> None:
        theirs, ours = self.marks.pop()
        self.theirs.commit(theirs)
        self.ours.commit(ours)

    @precondition(lambda self: not self.marks)
    @rule()
    def next_transaction(self) -> None:
        self._both("lock_changes")

    @precondition(lambda self: not self.marks)
    @rule(forget=st.booleans())
    def next_block(self, forget: bool) -> None:
        self._both("lock_changes")
        self._both("persist")
        assert self.ours.state_root == self.theirs.state_root
        if forget:  # as after a restart: everything comes from the tries
            self.store.known = None
        self.ours = FlatAccounts(self.store, self.ours.state_root)

    @invariant()
    def everything_reads_the_same(self) -> None:
        if not hasattr(self, "ours"):
            return
        for address in ADDRESSES:
            for name in ("get_balance", "get_nonce", "get_code", "account_exists", "account_is_empty"):
                assert getattr(self.ours, name)(address) == getattr(self.theirs, name)(address), name
            assert self.ours.is_address_warm(address) == self.theirs.is_address_warm(address)
            for slot in SLOTS:
                assert self.ours.get_storage(address, slot) == self.theirs.get_storage(address, slot)
                assert self.ours.get_storage(address, slot, False) == self.theirs.get_storage(
                    address, slot, False
                )
                assert self.ours.is_storage_warm(address, slot) == self.theirs.is_storage_warm(address, slot)


AccountDatabases.TestCase.settings = settings(max_examples=30, stateful_step_count=30, deadline=None)
TestAccountDatabases = AccountDatabases.TestCase


class _PlainMachine(PragueVM):
    """py-evm as it comes, but for proof of work and ancestors."""

    consensus_class = NoProofConsensus
    previous_hashes = ()  # type: ignore[assignment]  # no contract here asks for one


class _Database:
    def __init__(self) -> None:
        self.db = AtomicDB()


def test_blocks_are_those_of_py_evm_as_it_comes(tmp_path: Path) -> None:
    """Contracts, members, a chunk, a revert, an exit: same state root and gas in every block."""
    chain = EmbeddedChain(tmp_path / "chain.db", Genesis(CHAIN_ID, START_S, {b"\x05" * 20: 7}))
    community = LiveCommunity(chain, contracts(), 6)
    where, operator = community.deployment.settlement, community.keys["operator"]
    for i in range(3):
        calls = [
            DirectCall(operator, where, call.data, call.gas)
            for call in community.whole_interval(i, community.first + i)
        ]
        chain.produce_block(max(community.end_s(community.first + i), chain.head().timestamp_s + 1))
        transact_all(chain, calls, community.mine)
    member = community.members[0]
    community.send(member.owner, "request_exit", member.account, 10**15)
    exit_of_another = contracts().settlement.encode("request_exit", 3, 1)
    with pytest.raises(CallReverted, match="ledger: owner"):
        transact_all(chain, [DirectCall(member.owner, where, exit_of_another, 100_000)], community.mine)

    database, state_root = _Database(), None
    for number in range(chain.head().number + 1):
        expected = chain.header(number)
        assert expected is not None
        header = PragueBlockHeader(
            0, number, expected.gas_limit, expected.timestamp, state_root=state_root or expected.state_root
        )
        if number == 0:
            genesis = _PlainMachine(
                PragueBlockHeader(0, 0, expected.gas_limit, expected.timestamp),
                database,  # type: ignore[arg-type]
                ChainContext(CHAIN_ID),
                None,  # type: ignore[arg-type]
            )
            genesis.state.set_balance(b"\x05" * 20, 7)
            genesis.state.persist()
            state_root = genesis.state.state_root
            assert state_root == expected.state_root
            continue
        machine = _PlainMachine(header, database, ChainContext(CHAIN_ID), None)  # type: ignore[arg-type]
        for row in chain._file.transactions_of(number):
            transaction = PragueTransactionBuilder.decode(row.raw)
            receipt, computation = machine.apply_transaction(header, transaction)
            assert computation.is_success == bool(row.is_success)
            assert receipt.gas_used - header.gas_used == row.gas_used
            header = header.copy(gas_used=receipt.gas_used)
        machine.state.persist()
        state_root = machine.state.state_root
        assert state_root == expected.state_root, f"block {number}"
        assert header.gas_used == expected.gas_used
    chain.close()
