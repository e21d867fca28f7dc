"""The embedded chain as a chain: what it takes, what it refuses, what it keeps."""

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import rlp
from eth_account import Account
from eth_hash.auto import keccak

from node.chain.embedded import EmbeddedChain, Genesis
from node.chain.embedded_file import ChainFileError
from node.chain.embedded_genesis import WELL_KNOWN
from node.chain.keys import GROUP_ORDER, LocalSigner, derive
from node.chain.ports import (
    CallReverted,
    ChainLocked,
    Fees,
    RejectionReason,
    TransactionRejected,
    WrongChain,
)
from node.chain.transactions import sign_transaction

START_S = 1_900_000_000
CHAIN_ID = 1848
ALICE = derive(1, "alice")
# Stores call data word 0 at slot 0 and logs it with itself as topic; reverts with Error("no") if it is zero.
STORE = bytes.fromhex(
    "6000358015601657806000558060005260206000a1005b"
    "7f08c379a000000000000000000000000000000000000000000000000000000000600052"
    "60206004526002602452616e6f60f01b60445260646000fd"
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "chain.db"


@pytest.fixture
def chain(path: Path) -> Iterator[EmbeddedChain]:
    opened = EmbeddedChain(path, Genesis(CHAIN_ID, START_S))
    yield opened
    opened.close()


def _signed(nonce: int, data: bytes = b"", to: bytes | None = bytes(19) + b"\x99", **other: Any) -> bytes:
    values = {"chain_id": CHAIN_ID, "gas": 200_000, "fees": Fees(0, 0), "signer": ALICE, **other}
    return sign_transaction(nonce=nonce, to=to, data=data, **values)[0]


def _deployed(chain: EmbeddedChain) -> bytes:
    size = len(STORE)
    init = bytes.fromhex(f"60{size:02x}600c60003960{size:02x}6000f3") + STORE
    sent = chain.send_raw(_signed(chain.nonce(ALICE.address), init, None))
    chain.produce_block(chain.head().timestamp_s + 1)
    receipt = chain.receipt(sent)
    assert receipt is not None
    assert receipt.contract is not None
    return receipt.contract


def _secret(signer: LocalSigner) -> bytes:
    return signer._key.secret


# ---------------------------------------------------------------- what it takes and refuses


@pytest.mark.parametrize("kind", ["legacy", "access list", "dynamic fee", "set code"])
@pytest.mark.parametrize("chain_id", [CHAIN_ID, CHAIN_ID + 1, 1])
def test_the_chain_id_of_every_type_of_transaction_is_checked(
    chain: EmbeddedChain, kind: str, chain_id: int
) -> None:
    common: dict[str, Any] = {"nonce": 0, "to": b"\x99" * 20, "value": 0, "data": b"", "gas": 100_000}
    fees = {"maxFeePerGas": 0, "maxPriorityFeePerGas": 0}
    account = Account.from_key(_secret(ALICE))
    fields: dict[str, dict[str, Any]] = {
        "legacy": {"gasPrice": 0},
        "access list": {"gasPrice": 0, "type": 1, "accessList": []},
        "dynamic fee": {**fees, "type": 2},
        "set code": {**fees, "type": 4, "authorizationList": []},
    }
    if kind == "set code":
        bob = Account.from_key(_secret(derive(1, "bob")))
        permission = bob.sign_authorization({"chainId": CHAIN_ID, "address": b"\x98" * 20, "nonce": 0})
        fields[kind]["authorizationList"] = [permission]
    raw = bytes(account.sign_transaction({**common, **fields[kind], "chainId": chain_id}).raw_transaction)
    if chain_id == CHAIN_ID:
        chain.send_raw(raw)
        chain.produce_block(START_S + 1)
        assert chain.nonce(ALICE.address) == 1
        return
    with pytest.raises(TransactionRejected, match=f"chain {chain_id}, this is chain {CHAIN_ID}") as refused:
        chain.send_raw(raw)
    assert refused.value.reason == RejectionReason.WRONG_CHAIN_ID
    assert chain.waiting() == 0


def test_a_transaction_from_before_chain_ids_is_refused(chain: EmbeddedChain) -> None:
    fields = [0, 0, 100_000, b"\x99" * 20, 0, b""]
    r, s, parity = ALICE.sign_recoverable(keccak(rlp.encode(fields)))
    with pytest.raises(TransactionRejected, match="wrong-chain-id"):
        chain.send_raw(rlp.encode([*fields, 27 + parity, r, s]))


def test_the_twin_of_a_signature_is_refused(chain: EmbeddedChain) -> None:
    body = [CHAIN_ID, 0, 0, 0, 100_000, b"\x99" * 20, 0, b"", []]
    r, s, parity = ALICE.sign_recoverable(keccak(b"\x02" + rlp.encode(body)))
    twin = b"\x02" + rlp.encode([*body, 1 - parity, r, GROUP_ORDER - s])
    with pytest.raises(TransactionRejected, match="bad-signature"):
        chain.send_raw(twin)


@pytest.mark.parametrize(
    "raw", [b"", b"\x02", b"\x7f\xc0", bytes(100), b"\xc0", b"\x03" + rlp.encode([1]), b"\x02\xf8"]
)
def test_bytes_that_are_no_transaction_are_refused(chain: EmbeddedChain, raw: bytes) -> None:
    with pytest.raises(TransactionRejected, match="malformed"):
        chain.send_raw(raw)


def test_bytes_after_a_transaction_are_refused(chain: EmbeddedChain) -> None:
    with pytest.raises(TransactionRejected, match="malformed"):
        chain.send_raw(_signed(0) + b"\x00")


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"nonce": 1}, RejectionReason.NONCE_TOO_HIGH),
        ({"nonce": 0, "gas": 20_000}, RejectionReason.GAS_LIMIT),
        ({"nonce": 0, "gas": 2**24 + 1}, RejectionReason.GAS_LIMIT),
        ({"nonce": 0, "fees": Fees(1, 1)}, RejectionReason.FUNDS),
    ],
)
def test_what_can_never_be_mined_is_refused_at_the_door(
    chain: EmbeddedChain, values: dict[str, Any], reason: RejectionReason
) -> None:
    with pytest.raises(TransactionRejected) as refused:
        chain.send_raw(_signed(**values))
    assert refused.value.reason == reason
    assert chain.waiting() == 0


def test_a_nonce_counts_once_but_the_same_bytes_are_harmless(chain: EmbeddedChain) -> None:
    raw = _signed(0, b"one")
    assert chain.send_raw(raw) == chain.send_raw(raw)
    with pytest.raises(TransactionRejected, match="nonce 0 is taken"):
        chain.send_raw(_signed(0, b"two"))
    chain.produce_block(START_S + 1)
    chain.send_raw(raw)
    assert chain.waiting() == 0
    assert chain.nonce(ALICE.address) == 1


def test_members_need_no_native_money_at_all(chain: EmbeddedChain) -> None:
    assert chain.balance(ALICE.address) == 0
    assert chain.fees() == Fees(0, 0)
    chain.send_raw(_signed(0))
    chain.produce_block(START_S + 1)
    header = chain.header(1)
    assert header is not None
    assert (header.base_fee_per_gas, header.gas_used) == (0, 21_000)


def test_time_only_goes_forward(chain: EmbeddedChain) -> None:
    chain.produce_block(START_S + 10)
    for timestamp_s in (START_S + 10, START_S + 9):
        with pytest.raises(ValueError, match="not after the head's"):
            chain.produce_block(timestamp_s)
    assert chain.head().number == 1


# ---------------------------------------------------------------- calls, receipts, events


def test_a_call_reads_any_blocks_state_and_keeps_nothing(chain: EmbeddedChain) -> None:
    contract = _deployed(chain)
    for value in (7, 8):
        chain.send_raw(_signed(chain.nonce(ALICE.address), value.to_bytes(32, "big"), contract))
        chain.produce_block(chain.head().timestamp_s + 1)
    assert chain.storage(contract, 0) == 8
    root = chain.header(3)
    chain.call(contract, (9).to_bytes(32, "big"))
    assert chain.storage(contract, 0) == 8
    assert chain.header(3) == root
    with pytest.raises(ValueError, match="block 99 does not exist"):
        chain.call(contract, b"", block=99)


def test_a_revert_tells_the_contracts_reason(chain: EmbeddedChain) -> None:
    contract = _deployed(chain)
    with pytest.raises(CallReverted, match="no") as reverted:
        chain.call(contract, bytes(32))
    assert reverted.value.reason == "no"
    with pytest.raises(CallReverted):
        chain.estimate_gas(ALICE.address, contract, bytes(32))
    sent = chain.send_raw(_signed(1, bytes(32), contract))
    chain.produce_block(START_S + 5)
    receipt = chain.receipt(sent)
    assert receipt is not None
    assert not receipt.is_success
    assert chain.revert_reason(sent) == "no"


def test_estimated_gas_suffices(chain: EmbeddedChain) -> None:
    contract = _deployed(chain)
    data = (5).to_bytes(32, "big")
    gas = chain.estimate_gas(ALICE.address, contract, data)
    sent = chain.send_raw(_signed(1, data, contract, gas=gas))
    chain.produce_block(START_S + 5)
    receipt = chain.receipt(sent)
    assert receipt is not None
    assert receipt.is_success
    assert receipt.gas_used <= gas < 2 * receipt.gas_used


def test_events_are_found_by_block_and_address_in_order(chain: EmbeddedChain) -> None:
    one, two = _deployed(chain), _deployed(chain)
    nonce = chain.nonce(ALICE.address)
    for i in range(6):
        chain.send_raw(_signed(nonce + i, (i + 1).to_bytes(32, "big"), one if i % 2 else two))
    chain.produce_block(START_S + 100)
    head = chain.head()
    found = chain.logs(0, head.number)
    assert [log.index for log in found] == list(range(6))
    assert [int.from_bytes(log.data, "big") for log in found] == [1, 2, 3, 4, 5, 6]
    assert {log.block_hash for log in found} == {head.hash}
    assert [log.index for log in chain.logs(head.number, head.number, (one,))] == [1, 3, 5]
    assert chain.logs(0, head.number - 1) == []
    receipt = chain.receipt(found[3].transaction_hash)
    assert receipt is not None
    assert receipt.logs == (found[3],)


def test_events_are_looked_up_by_index_however_long_the_chain_is(chain: EmbeddedChain, path: Path) -> None:
    _deployed(chain)
    with sqlite3.connect(path) as reader:
        plan = reader.execute(
            "EXPLAIN QUERY PLAN SELECT * FROM logs l WHERE l.block BETWEEN 1 AND 9 AND l.address IN (?)",
            (bytes(20),),
        ).fetchall()
    assert "logs_by_address" in str(plan)


# ---------------------------------------------------------------- the file


@pytest.mark.usefixtures("chain")
def test_a_second_writer_is_told_who_the_first_is(path: Path) -> None:
    with pytest.raises(ChainLocked, match=f"process {os.getpid()} is already writing it"):
        EmbeddedChain(path)


def test_another_genesis_is_refused(path: Path) -> None:
    EmbeddedChain(path, Genesis(CHAIN_ID, START_S)).close()
    for other in (Genesis(CHAIN_ID + 1, START_S), Genesis(CHAIN_ID, START_S, {b"\x01" * 20: 5})):
        with pytest.raises(WrongChain, match="its genesis is"):
            EmbeddedChain(path, other)
    again = EmbeddedChain(path, Genesis(CHAIN_ID, START_S))
    assert again.head().number == 0
    again.close()
    EmbeddedChain(path).close()


def test_a_chain_without_file_or_genesis_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WrongChain, match="no such file"):
        EmbeddedChain(tmp_path / "none.db")


def test_a_file_that_is_no_chain_is_refused(path: Path) -> None:
    path.write_bytes(b"not a database at all" * 100)
    with pytest.raises(ChainFileError, match="not a database"):
        EmbeddedChain(path)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ChainFileError, match="none"):
        EmbeddedChain(tmp_path / "none" / "chain.db", Genesis(CHAIN_ID, START_S))


@pytest.mark.parametrize("address", sorted(WELL_KNOWN))
def test_a_genesis_never_funds_a_key_that_everybody_has(address: bytes) -> None:
    with pytest.raises(ValueError, match="whose key everybody knows"):
        Genesis(CHAIN_ID, START_S, {address: 10**18})
    assert Genesis(CHAIN_ID, START_S, {address: 10**18}, is_for_tests=True).funded


def test_the_well_known_keys_are_those_of_the_tools() -> None:
    words = "test test test test test test test test test test test junk"
    Account.enable_unaudited_hdwallet_features()
    path = "m/44'/60'/0'/0/{}"
    derived = {Account.from_mnemonic(words, account_path=path.format(i)).address for i in range(10)}
    small = {LocalSigner(i.to_bytes(32, "big")).address for i in range(1, 6)}
    assert {bytes.fromhex(address[2:]) for address in derived} | small == WELL_KNOWN


def test_a_full_disk_loses_the_block_but_not_what_waits(chain: EmbeddedChain) -> None:
    connection = chain._file._connection
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count={pages}")
    raw = _signed(0, bytes(60_000), gas=3_000_000)
    sent = chain.send_raw(raw)
    with pytest.raises(ChainFileError, match="full"):
        chain.produce_block(START_S + 1)
    assert (chain.head().number, chain.waiting(), chain.receipt(sent)) == (0, 1, None)
    connection.execute("PRAGMA max_page_count=1000000")
    assert chain.produce_block(START_S + 1).number == 1
    assert chain.receipt(sent) is not None


def test_a_copy_taken_while_it_runs_goes_on_as_the_original_does(
    chain: EmbeddedChain, tmp_path: Path
) -> None:
    contract = _deployed(chain)
    copy = tmp_path / "copy.db"
    chain.send_raw(_signed(1, (5).to_bytes(32, "big"), contract))  # waits, so it is in no copy
    chain.backup(copy)
    with pytest.raises(ChainFileError, match="never overwrites"):
        chain.backup(copy)
    chain.produce_block(START_S + 50)
    twin = EmbeddedChain(copy, Genesis(CHAIN_ID, START_S))
    assert twin.head().number == 1
    twin.send_raw(_signed(1, (5).to_bytes(32, "big"), contract))
    assert twin.produce_block(START_S + 50) == chain.head()
    twin.close()


def test_a_damaged_head_is_found_at_the_start(chain: EmbeddedChain, path: Path) -> None:
    _deployed(chain)
    chain.close()
    with sqlite3.connect(path) as editor:
        header = editor.execute("SELECT header FROM blocks WHERE number=1").fetchone()[0]
        editor.execute("UPDATE blocks SET header=? WHERE number=1", (header[:-1] + b"\x01",))
    with pytest.raises(WrongChain, match="block 1 is damaged"):
        EmbeddedChain(path)


def test_the_same_transactions_at_the_same_times_give_the_same_blocks(tmp_path: Path) -> None:
    hashes = []
    for name in ("a.db", None):
        chain = EmbeddedChain(None if name is None else tmp_path / name, Genesis(CHAIN_ID, START_S))
        contract = _deployed(chain)
        chain.send_raw(_signed(1, (5).to_bytes(32, "big"), contract))
        hashes.append(chain.produce_block(START_S + 50).hash)
        chain.close()
    assert hashes[0] == hashes[1]


def test_what_does_not_fit_a_block_waits_for_the_next() -> None:
    chain = EmbeddedChain(None, Genesis(CHAIN_ID, START_S, gas_limit=450_000))
    sent = [chain.send_raw(_signed(nonce, b"\x01" * 10)) for nonce in range(40)]
    chain.produce_block(START_S + 1)
    assert 0 < chain.waiting() < 40
    while chain.waiting():
        chain.produce_block(chain.head().timestamp_s + 1)
    order = [(r.block_number, r.transaction_index) for r in map(chain.receipt, sent) if r is not None]
    assert order == sorted(order)
    assert chain.nonce(ALICE.address) == 40
    chain.close()
