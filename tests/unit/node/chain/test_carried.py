"""Anyone may carry in what others have signed: then our own transaction reverts, and settlement goes on.

A content that is another one still halts, with account and amount.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from market.flexibility import Baselines
from node.bench.live_community import CHUNK_GAS, DEPOSIT_PICO, OPERATOR, PRICE, TARIFF
from node.chain import calldata, typed_data
from node.chain.calldata import ReadCall, SignedReading, read_calldata
from node.chain.direct import DirectCall, transact
from node.chain.keys import LocalSigner, derive
from node.chain.mirror import ProjectionError
from node.chain.ports import CallReverted, Hash
from node.chain.sender import ContractCall, OutboxState, SettlementHalted
from node.chain.typed_data import CompactSignature, Curtailment, Reading, Substitute, Tariff, Tariffs
from node.exit import ExitDesk
from node.store.tables_chain import carriers, outbox
from tests.unit.node.chain.live import Node, contracts
from tests.unit.node.chain.stranger import STRANGER, carry, courier, packed, together


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    started = Node.start(tmp_path)
    started.watcher.ingest()
    yield started
    started.close()


def _curtail(node: Node, account: int, interval: int, quantity: int) -> ContractCall:
    message = Curtailment(account, interval, quantity)
    signature = typed_data.sign(node.community.keys["curtailer"], node.community.deployment.domain, message)
    data = contracts().settlement.encode("curtail", account, interval, quantity, *signature)
    to = node.community.deployment.settlement
    return ContractCall("curtailment", f"{interval}/{account}", OPERATOR, to, data, CHUNK_GAS)


def _interval(node: Node, sequence: int, interval: int) -> list[ContractCall]:
    """Return all kinds of calls that an interval has."""
    tariffs, chunk = node.community.whole_interval(sequence, interval)
    return [tariffs, _curtail(node, 3, interval, 500), chunk]


def _end(node: Node, interval: int) -> None:
    node.chain.produce_block(node.community.end_s(interval))


def _finish(node: Node) -> None:
    """Drive what is planned to its end."""
    for _ in range(8):
        if node.sender.drive().open == 0:
            break
        node.mine(node.community.first)
    node.watcher.ingest()
    assert node.sender.open() == 0
    assert node.differences() == []


def _carriers(node: Node) -> dict[str, Hash]:
    query = select(outbox.c.kind, carriers.c.hash).join(carriers, carriers.c.outbox_id == outbox.c.id)
    with node.store.read() as connection:
        return {row.kind: row.hash for row in connection.execute(query)}


def _states(node: Node) -> list[str]:
    with node.store.read() as connection:
        return list(connection.execute(select(outbox.c.state).order_by(outbox.c.id)).scalars())


@pytest.mark.parametrize("carried", [(0,), (0, 1), (0, 1, 2)])
def test_what_a_stranger_carried_in_before_us_is_done_and_the_next_interval_follows(
    node: Node, carried: tuple[int, ...]
) -> None:
    first = node.community.first
    calls = _interval(node, 0, first)
    _end(node, first)
    hashes = {calls[i].kind: carry(node, calls[i].to, calls[i].data).transaction_hash for i in carried}
    node.plan(calls)
    _finish(node)
    assert _carriers(node) == hashes
    node.settle(1, first + 1)
    _finish(node)
    assert set(_states(node)) == {OutboxState.FINAL}


def test_the_money_is_the_same_whoever_carried_it_in(node: Node, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    quiet, first = Node.start(other), node.community.first
    calls = _interval(node, 0, first)
    for disturbed in (node, quiet):
        _end(disturbed, first)
        if disturbed is node:
            for call in calls:
                carry(disturbed, call.to, call.data)
        disturbed.plan(calls)
        _finish(disturbed)
    words = contracts().settlement.encode("words", list(range(6)))
    where = node.community.deployment.settlement
    assert node.chain.call(where, words) == quiet.chain.call(where, words)
    quiet.close()


def test_a_stranger_between_our_signing_and_our_block_makes_no_difference(node: Node) -> None:
    first = node.community.first
    node.plan(_interval(node, 0, first))
    node.sender.drive()
    calls = _interval(node, 0, first)
    # Our transactions wait with a nonce; those of the stranger come into the block before them.
    node.chain._waiting.clear()
    node.chain._waiting_of.clear()
    _end(node, first)
    hashes = {call.kind: carry(node, call.to, call.data).transaction_hash for call in calls}
    _finish(node)
    assert _carriers(node) == hashes


def test_a_chunk_that_comes_through_a_strangers_contract_is_followed(node: Node) -> None:
    first, where = node.community.first, node.community.deployment.settlement
    tariffs, _, chunk = _interval(node, 0, first)
    through = courier(node, where)
    _end(node, first)
    carry(node, through, tariffs.data)
    node.plan([tariffs, chunk])
    receipt = carry(node, through, chunk.data)
    _finish(node)
    assert _carriers(node)["chunk"] == receipt.transaction_hash


def test_a_chunk_that_nobody_here_planned_and_that_hides_in_a_contract_halts(node: Node) -> None:
    first, where = node.community.first, node.community.deployment.settlement
    tariffs, chunk = node.community.whole_interval(0, first)
    through = courier(node, where)
    _end(node, first)
    carry(node, where, tariffs.data)
    carry(node, through, chunk.data)
    with pytest.raises(ProjectionError, match=r"chunk 0 .* another contract, and its content is not known"):
        node.watcher.ingest()


def _words_of(data: bytes) -> list[int]:
    return [int.from_bytes(data[at : at + 32], "big") for at in range(4, len(data), 32)]


def _odd(data: bytes, way: str) -> bytes:
    """Encode a chunk without readings in a way that no library would: the last two arrays are empty."""
    words = _words_of(data)
    n = len(words)
    match way:
        case "offset beyond the end":
            words[8] = 32 * n + 10**6
        case "offset far beyond the end":
            words[8] = 2**255
        case "offset that wraps to nothing":
            words[8] = 2**256 - 10**6
        case "offset that wraps to the head":
            words[8] = 2**256 - 32 * 2**200
        case "both at one place":
            words[7] = words[8]
        case "not on a word's border":
            words[7] = words[8] - 1
    cut = -32 if way == "last word left out" else -1 if way == "last byte left out" else None
    return (data[:4] + b"".join(word.to_bytes(32, "big") for word in words))[:cut]


@pytest.mark.parametrize(
    "way",
    [
        "offset beyond the end",
        "offset far beyond the end",
        "offset that wraps to nothing",
        "offset that wraps to the head",
        "both at one place",
        "not on a word's border",
        "last word left out",
        "last byte left out",
    ],
)
def test_a_chunk_in_an_odd_encoding_is_followed_as_the_contract_takes_it(node: Node, way: str) -> None:
    community, first = node.community, node.community.first
    chunk = community.chunk(0, first, community.fills(first), ())
    _end(node, first)
    odd = _odd(chunk.data, way)
    assert odd != chunk.data
    carry(node, chunk.to, odd)  # every one of them is taken
    assert calldata.decode_settle(odd) == calldata.decode_settle(chunk.data)
    node.plan([chunk])
    _finish(node)


def test_another_chunk_of_the_same_sequence_halts_with_account_and_amount(node: Node) -> None:
    community, first = node.community, node.community.first
    members = community.members
    fills = [community.fill(member, first, 300_000, is_buy=i % 2 == 0) for i, member in enumerate(members)]
    other = community.chunk(0, first, fills, ())
    _end(node, first)
    carry(node, other.to, other.data)
    node.plan(community.whole_interval(0, first))
    node.sender.drive()
    node.mine(first)
    fee = community.deployment.parameters.fee_micro_per_kwh
    there, here = -300_000 * (PRICE + fee), -400_000 * (PRICE + fee)
    expected = f"account 2 received {there} pico-credit, planned {here}, by {there - here}"
    for _ in range(2):  # and it stays so
        with pytest.raises(SettlementHalted, match=expected):
            node.sender.drive()


def test_a_chunk_with_another_reading_halts_with_account_and_register(node: Node) -> None:
    community, first = node.community, node.community.first
    readings = community.readings(first)
    true = readings[3].register_milli_wh
    readings[3] = community.reading(community.members[3], first, 17)
    tariffs, chunk = community.tariffs(first), community.chunk(0, first, community.fills(first), readings)
    _end(node, first)
    carry(node, tariffs.to, tariffs.data)
    carry(node, chunk.to, chunk.data)
    node.plan(community.whole_interval(0, first))
    node.sender.drive()
    node.mine(first)
    with pytest.raises(SettlementHalted, match=f"account 5 was read at 17 mWh, planned {true}"):
        node.sender.drive()


def test_a_chunk_of_another_round_in_the_same_place_halts(node: Node) -> None:
    community, first = node.community, node.community.first
    _end(node, first)
    other = community.chunk(0, first, community.fills(first), (), round_=1)
    carry(node, other.to, other.data)
    node.plan([community.chunk(0, first, community.fills(first), ())])
    node.sender.drive()
    node.mine(first)
    with pytest.raises(
        SettlementHalted, match=rf"of interval and round \({first}, 1\), planned \({first}, 0\)"
    ):
        node.sender.drive()


def test_other_orders_of_the_same_amounts_are_another_chunk(node: Node) -> None:
    community, first = node.community, node.community.first
    fills = community.fills(first)
    order = replace(fills[0].order, lane=1)
    signature = typed_data.sign(community.members[0].agent, community.deployment.domain, order)
    other = community.chunk(0, first, [replace(fills[0], order=order, signature=signature), *fills[1:]], ())
    _end(node, first)
    carry(node, other.to, other.data)
    node.plan([community.chunk(0, first, fills, ())])
    node.sender.drive()
    node.mine(first)
    with pytest.raises(SettlementHalted, match="chunk 0 on chain is another one: other orders"):
        node.sender.drive()


def test_a_signature_that_was_written_anew_is_the_same_chunk(node: Node) -> None:
    """The operator signs what a chunk does; an agent may sign the same order twice, in other bytes."""
    community, first = node.community, node.community.first
    chunk = community.chunk(0, first, community.fills(first), ())
    call = calldata.decode_settle(chunk.data)
    digest = typed_data.order_hash(community.deployment.domain, call.fills[0].order)
    again = _sign_with_other_nonce(community.members[0].agent, digest)
    assert again != call.fills[0].signature
    fills = (replace(call.fills[0], signature=again), *call.fills[1:])
    _end(node, first)
    receipt = carry(node, chunk.to, calldata.settle_calldata(replace(call, fills=fills)))
    node.plan([chunk])
    _finish(node)
    assert _carriers(node) == {"chunk": receipt.transaction_hash}


def _sign_with_other_nonce(signer: LocalSigner, digest: bytes) -> CompactSignature:
    """Sign with the nonce 12345 instead of RFC 6979's: s = (z + r d) / k mod n, low (SEC 1, 4.1.3)."""
    from coincurve import PrivateKey

    n = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    k, d = 12_345, int.from_bytes(signer._key.secret, "big")
    x, y = PrivateKey(k.to_bytes(32, "big")).public_key.point()
    r = x % n
    s = pow(k, -1, n) * (int.from_bytes(digest, "big") + r * d) % n
    parity = y & 1
    if s > n // 2:
        s, parity = n - s, parity ^ 1
    return CompactSignature(r, parity << 255 | s)


def test_other_tariffs_in_their_place_halt_with_both(node: Node) -> None:
    community, first = node.community, node.community.first
    table = (Tariff(310_000, 80_000),)
    signed = typed_data.sign(community.keys["oracle"], community.deployment.domain, Tariffs(first, table))
    where = community.deployment.settlement
    data = contracts().settlement.encode("publish_tariffs", first, [tuple(t) for t in table], *signed)
    carry(node, where, data)
    node.plan([community.tariffs(first)])
    node.sender.drive()
    node.mine(first)
    with pytest.raises(SettlementHalted, match=r"\(310000, 80000\).*planned \[\(300000, 80000\)\]"):
        node.sender.drive()


def test_another_curtailment_in_its_place_halts_with_account_and_amount(node: Node) -> None:
    first = node.community.first
    other = _curtail(node, 3, first, 700)
    carry(node, other.to, other.data)
    node.plan([_curtail(node, 3, first, 500)])
    node.sender.drive()
    node.mine(first)
    with pytest.raises(SettlementHalted, match=f"account 3 is forgiven 700 mWh of interval {first}.*by 200"):
        node.sender.drive()


def test_a_revert_that_nobody_made_good_still_halts_and_goes_on_once_somebody_does(node: Node) -> None:
    """A chunk that ran out of gas may be carried in by anyone who offers more."""
    first = node.community.first
    tariffs, chunk = node.community.whole_interval(0, first)
    node.plan([tariffs, replace(chunk, gas=150_000)])
    node.sender.drive()
    _end(node, first)
    with pytest.raises(SettlementHalted, match="chunk 0"):
        node.sender.drive()
    receipt = carry(node, chunk.to, chunk.data)
    _finish(node)
    assert _carriers(node) == {"chunk": receipt.transaction_hash}


def test_readings_are_nobodys_while_an_interval_can_be_filled_and_are_followed_after(node: Node) -> None:
    community, first = node.community, node.community.first
    node.plan([community.tariffs(first)])
    node.sender.drive()
    _end(node, first)
    where = community.deployment.settlement
    data = read_calldata(ReadCall(first, (TARIFF,), tuple(community.readings(first))))
    with pytest.raises(CallReverted, match="settlement: fills first"):
        carry(node, where, data)
    node.chain.produce_block(community.end_s(first) + community.deployment.parameters.fill_window_s)
    carry(node, where, data)
    _finish(node)


# ------------------------------------------------------------------ late readings


def _late(node: Node, interval: int, members: Sequence[int], shift: int = 0) -> ContractCall:
    """Return the call that brings in these members' readings once a later interval has its chunk."""
    readings = [_reading(node, interval, i, shift) for i in members]
    data = read_calldata(ReadCall(interval, (TARIFF,), tuple(readings)))
    to = node.community.deployment.settlement
    return ContractCall("late-readings", f"{interval}", OPERATOR, to, data, 3_000_000)


def _reading(node: Node, interval: int, i: int, shift: int = 0) -> SignedReading:
    reading = node.community.readings(interval)[i]
    return node.community.reading(node.community.members[i], interval, reading.register_milli_wh + shift)


def _behind(node: Node) -> list[ContractCall]:
    """Settle two intervals without readings; return what brings members 0 and 1 up to date, in order."""
    community, first = node.community, node.community.first
    for i in range(2):
        node.plan(
            [community.tariffs(first + i), community.chunk(i, first + i, community.fills(first + i), ())]
        )
        node.sender.drive()
        _end(node, first + i)
        node.sender.drive()
    node.plan([community.tariffs(first + 2)])
    third = [_reading(node, first + 2, i) for i in (0, 1)]
    chunks = [
        community.chunk(2, first + 2, community.fills(first + 2), ()),
        community.chunk(3, first + 2, (), third),
    ]
    return [chunks[0], _late(node, first, (0, 1)), _late(node, first + 1, (0, 1)), chunks[1]]


def test_late_readings_that_a_stranger_brought_in_are_done(node: Node) -> None:
    calls = _behind(node)
    _end(node, node.community.first + 2)
    late = carry(node, calls[1].to, calls[1].data)
    node.plan(calls)
    _finish(node)
    assert _carriers(node) == {"late-readings": late.transaction_hash}


def test_where_one_member_came_before_us_the_rest_follows_and_what_built_on_it_is_done_anew(
    node: Node,
) -> None:
    calls = _behind(node)
    _end(node, node.community.first + 2)
    own = _late(node, node.community.first, (1,))
    receipt = carry(node, own.to, own.data)
    node.plan(calls)
    _finish(node)
    query = select(outbox.c.kind, outbox.c.ref).order_by(outbox.c.id)
    with node.store.read() as connection:
        refs = [tuple(row) for row in connection.execute(query)]
    first = node.community.first
    assert refs[-3:] == [("late-readings", f"{first}+"), ("late-readings", f"{first + 1}+"), ("chunk", "3+")]
    assert _carriers(node) == {"late-readings": receipt.transaction_hash}
    node.recover()


def test_another_register_that_the_meter_signed_counts_and_the_rest_goes_on(node: Node) -> None:
    """Who holds a meter's key could otherwise stop the settlement of everybody."""
    calls = _behind(node)
    _end(node, node.community.first + 2)
    other = _late(node, node.community.first, (1,), shift=5)
    receipt = carry(node, other.to, other.data)
    node.plan(calls)
    _finish(node)
    assert _carriers(node) == {"late-readings": receipt.transaction_hash}


def test_the_meters_own_reading_in_the_place_of_a_substitute_is_welcome(node: Node) -> None:
    """A silent meter speaks up after the registrar has signed for it, before that is mined."""
    community, first = node.community, node.community.first
    calls = _behind(node)
    own = _late(node, first, (1,))
    message = Substitute(3, first, 17)
    signature = typed_data.sign(community.keys["registrar"], community.deployment.domain, message)
    substitute = SignedReading(3, 17, True, signature)
    data = read_calldata(ReadCall(first, (TARIFF,), (_reading(node, first, 0), substitute)))
    _end(node, first + 2)
    receipt = carry(node, own.to, own.data)
    node.plan([calls[0], replace(calls[1], data=data), *calls[2:]])
    _finish(node)
    assert _carriers(node) == {"late-readings": receipt.transaction_hash}


def test_late_readings_that_came_through_a_strangers_contract_are_followed(node: Node) -> None:
    calls = _behind(node)
    through = courier(node, node.community.deployment.settlement)
    _end(node, node.community.first + 2)
    late = carry(node, through, calls[1].data)
    node.watcher.ingest()
    assert node.differences() == []
    node.plan(calls)
    _finish(node)
    assert _carriers(node) == {"late-readings": late.transaction_hash}
    node.recover()


def test_of_readings_that_a_contract_brought_in_for_one_member_the_rest_is_brought_in(node: Node) -> None:
    calls = _behind(node)
    through = courier(node, node.community.deployment.settlement)
    _end(node, node.community.first + 2)
    receipt = carry(node, through, _late(node, node.community.first, (1,)).data)
    node.plan(calls)
    _finish(node)
    assert _carriers(node) == {"late-readings": receipt.transaction_hash}


def test_whatever_a_contract_does_in_one_transaction_is_followed_in_its_order(node: Node) -> None:
    """Owners may be contracts: readings, debts, exits and deposits of several accounts come mixed."""
    community, first = node.community, node.community.first
    settlement, where = contracts().settlement, community.deployment.settlement
    through = together(node, where)
    carry(node, through, packed([settlement.encode("open_account", STRANGER.address)]))
    poor = 2 + len(community.members)
    meter = derive(99, "meter")
    community.send(community.keys["registrar"], "install", poor, meter.address, 0, 0, 10_000_000)
    read = node.chain.head().timestamp_s // community.length_s
    assert read == first - 1
    calls = _behind(node)
    node.plan(calls[:1])
    _end(node, first + 2)
    node.sender.drive()
    node.chain.produce_block(node.chain.head().timestamp_s + 1)

    def reading(interval: int, register: int) -> bytes:
        signature = typed_data.sign(meter, community.deployment.domain, Reading(poor, interval, register))
        signed = SignedReading(poor, register, False, signature)
        return read_calldata(ReadCall(interval, (TARIFF,), (signed,)))

    collect = settlement.encode("collect", poor)
    deeds = [
        reading(first, -5_000),  # leaves a debt
        collect,  # of which nothing can be paid yet
        settlement.encode("request_exit", poor, 10**20),
        reading(first + 1, 3_000),  # GRID pays
        collect,
        settlement.encode("request_exit", poor, 10**6),
        settlement.encode("open_account", STRANGER.address),
    ]
    carry(node, through, packed(deeds))
    node.watcher.ingest()
    assert node.differences() == []


# ------------------------------------------------------------------ grid events


@dataclass
class Event:
    """A grid event that delivers, over the second interval, to members 3 and 5 (and 2, 4 against a baseline)."""

    node: Node
    baselines: Baselines
    first: int

    @classmethod
    def over(cls, node: Node) -> "Event":
        community = node.community
        split, token = contracts().split, contracts().token
        where, grid = community.deployment, community.keys["grid"]
        baselines = Baselines.commit((2, 3, 4, 5), (-500_000, 0, -500_000, 0))
        first = community.first + 1
        revenue = DEPOSIT_PICO // 7
        mint = token.encode("mint", grid.address, revenue, b"\x07" * 32)
        transact(node.chain, DirectCall(community.keys["issuer"], where.token, mint, 200_000), community.mine)
        for to, data in (
            (where.token, token.encode("approve", where.split, revenue)),
            (where.split, split.encode("open", baselines.root, first, first, revenue)),
        ):
            transact(node.chain, DirectCall(grid, to, data, 400_000), community.mine)
        for i in range(2):
            node.settle(i, community.first + i)
        return cls(node, baselines, first)

    def _signed(self, account: int, interval: int, shift: int = 0) -> tuple[int, int, int]:
        community = self.node.community
        member = community.members[account - 2]
        (reading,) = [r for r in community.readings(interval) if r.account == account]
        register = reading.register_milli_wh + shift
        message = Reading(account, interval, register)
        signature = typed_data.sign(member.meter, community.deployment.domain, message)
        return (register, *signature)

    def record(self, account: int, shift: int = 0) -> ContractCall:
        before, after = self._signed(account, self.first - 1), self._signed(account, self.first, shift)
        baseline = self.baselines.baseline_milli_wh[account - 2]
        arguments = (0, account, baseline, self.baselines.proof(account), before, after)
        return self._call("record", f"e/{account}", arguments)

    def pay(self, accounts: list[int]) -> ContractCall:
        return self._call("pay", "e/0", (0, accounts))

    def refund(self) -> ContractCall:
        return self._call("refund", "e", (0,))

    def _call(self, function: str, ref: str, arguments: tuple) -> ContractCall:
        data = contracts().split.encode(function, *arguments)
        to = self.node.community.deployment.split
        return ContractCall(f"flex-{function}", ref, OPERATOR, to, data, 3_000_000)

    def close(self) -> None:
        """Let the time for recording pass."""
        record_for_s = self.node.community.deployment.parameters.record_for_s
        self.node.chain.produce_block(self.node.community.end_s(self.first) + record_for_s)


def test_records_and_payments_of_a_grid_event_may_be_carried_in_by_anyone(node: Node) -> None:
    event = Event.over(node)
    records = [event.record(account) for account in (2, 3, 4, 5)]
    carry(node, records[1].to, records[1].data)
    node.plan(records)
    _finish(node)
    assert set(_carriers(node)) == {"flex-record"}
    event.close()
    pay = event.pay([2, 3, 4, 5])
    carry(node, pay.to, pay.data)
    node.plan([pay])
    _finish(node)
    assert set(_carriers(node)) == {"flex-record", "flex-pay"}


def test_of_a_payment_that_a_stranger_made_in_part_the_rest_is_paid(node: Node) -> None:
    event = Event.over(node)
    node.plan([event.record(account) for account in (2, 3, 4, 5)])
    _finish(node)
    event.close()
    part = event.pay([3])
    carry(node, part.to, part.data)
    node.plan([event.pay([2, 3, 4, 5])])
    node.sender.drive()
    node.mine(event.first)
    node.sender.drive()
    # and the stranger is quicker once more, with the first of what is left
    node.chain._waiting.clear()
    node.chain._waiting_of.clear()
    again = event.pay([2])
    carry(node, again.to, again.data)
    _finish(node)
    with node.store.read() as connection:
        refs = connection.execute(select(outbox.c.ref).where(outbox.c.kind == "flex-pay")).scalars().all()
    assert refs == ["e/0", "e/0+", "e/0++"]
    split = node.community.deployment.split
    balance = contracts().token.encode("balanceOf", split)
    assert int.from_bytes(node.chain.call(node.community.deployment.token, balance)) == 0, "dust is left"


def test_a_record_of_another_contribution_halts_with_account_and_amount(node: Node) -> None:
    event = Event.over(node)
    other = event.record(3, shift=1_000)
    carry(node, other.to, other.data)
    node.plan([event.record(3)])
    node.sender.drive()
    node.mine(event.first)
    with pytest.raises(
        SettlementHalted, match=r"account 3 has contributed 400000 mWh.*planned 399000, by 1000"
    ):
        node.sender.drive()


def test_a_refund_that_a_stranger_pushed_is_done(node: Node) -> None:
    event = Event.over(node)
    event.close()
    refund = event.refund()
    receipt = carry(node, refund.to, refund.data)
    node.plan([refund])
    _finish(node)
    assert _carriers(node) == {"flex-refund": receipt.transaction_hash}


def test_an_exit_that_a_stranger_pushed_first_is_paid_to_its_owner_all_the_same(node: Node) -> None:
    seller, where = node.community.members[1], node.community.deployment.settlement
    node.community.send(seller.owner, "request_exit", seller.account, 10**15)
    ready_s = node.chain.head().timestamp_s + node.community.deployment.parameters.exit_delay_s
    node.chain.produce_block(ready_s)

    class Overtaken:
        """A chain on which the stranger is always one block ahead."""

        def __getattr__(self, name: str) -> Any:
            return getattr(node.chain, name)

        def send_raw(self, raw: bytes) -> Hash:
            carry(node, where, contracts().settlement.encode("withdraw", seller.account))
            return node.chain.send_raw(raw)

    said: list[str] = []
    desk = ExitDesk(Overtaken(), contracts(), node.community.deployment, node.community.mine)
    after = desk.step(seller.owner, seller.account, None, ready_s, said.append)
    assert (after.ready_s, after.paid_out_pico) == (0, 10**15)
    assert "were paid out" in said[0]


def test_an_exit_that_a_stranger_pushed_is_projected(node: Node) -> None:
    seller = node.community.members[1]
    node.community.send(seller.owner, "request_exit", seller.account, 10**15)
    ready_s = node.chain.head().timestamp_s + node.community.deployment.parameters.exit_delay_s
    node.chain.produce_block(ready_s)
    where = node.community.deployment.settlement
    carry(node, where, contracts().settlement.encode("withdraw", seller.account))
    _finish(node)
    assert STRANGER.address != seller.owner.address
