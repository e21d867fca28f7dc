"""Translated code against py-evm's own loop: same outcome, gas, output, storage and events, for any bytes."""

from typing import Any

import pytest
from eth.chains.base import ChainContext
from eth.constants import ZERO_ADDRESS
from eth.db.atomic import AtomicDB
from eth.vm import opcode_values as op
from eth.vm.forks.prague import PragueVM
from eth.vm.forks.prague.blocks import PragueBlockHeader
from eth.vm.forks.prague.computation import PragueComputation
from eth.vm.forks.prague.state import PragueState
from eth.vm.message import Message
from hypothesis import example, given, settings
from hypothesis import strategies as st

from node.chain.embedded_frame import TranslatedComputation
from node.chain.embedded_state import FlatAccounts

# py-evm says so whenever a program happens to contain that instruction.
pytestmark = pytest.mark.filterwarnings("ignore:SELFDESTRUCT:DeprecationWarning")

ACCOUNT = b"\x11" * 20
OTHER = b"\x22" * 20
SENDER = b"\x33" * 20
WORDS = st.one_of(
    st.integers(0, 2**256 - 1),
    st.integers(0, 300),
    st.sampled_from([2**255, 2**255 - 1, 2**256 - 1, 2**128, 31, 32, 255, 256, 257]),
)


class _Reference(PragueState):
    computation_class = PragueComputation


class _Translated(PragueState):
    computation_class = TranslatedComputation
    account_db_class = FlatAccounts


def _run(state_class: type[PragueState], code: bytes, data: bytes, gas: int) -> dict[str, Any]:
    header = PragueBlockHeader(0, 7, 10**9, 1_900_000_000, coinbase=ZERO_ADDRESS)
    context = PragueVM.create_execution_context(header, iter([b"\x07" * 32]), ChainContext(1848))
    state = state_class(AtomicDB(), context, header.state_root)
    state.set_code(ACCOUNT, code)
    # Somebody to call: it stores what it was sent, and answers with it.
    state.set_code(OTHER, bytes.fromhex("60003560005560003560005260206000f3"))
    state.set_balance(SENDER, 10**18)
    state.set_balance(ACCOUNT, 10**6)
    state.set_storage(ACCOUNT, 1, 5)
    state.lock_changes()
    message = Message(gas=gas, to=ACCOUNT, sender=SENDER, value=0, data=data, code=code)
    transaction = state.get_transaction_context_class()(gas_price=1, origin=SENDER)
    done = state.computation_class.apply_message(state, message, transaction)
    return {
        "is_error": done.is_error,
        "burns": done.is_error and done.should_burn_gas,
        "gas": done.get_gas_used(),
        "refund": done.get_gas_refund(),
        "output": bytes(done.output),
        "logs": done.get_log_entries(),
        "root": state.make_state_root(),
    }


def _same(code: bytes, data: bytes = b"", gas: int = 200_000) -> dict[str, Any]:
    expected, found = _run(_Reference, code, data, gas), _run(_Translated, code, data, gas)
    assert found == expected
    return found


def _push(value: int) -> bytes:
    size = max(1, (value.bit_length() + 7) // 8)
    return bytes([op.PUSH1 + size - 1]) + value.to_bytes(size, "big")


def _return_top() -> bytes:
    return _push(0) + bytes([op.MSTORE]) + _push(32) + _push(0) + bytes([op.RETURN])


_ARITHMETIC = (
    *(op.ADD, op.MUL, op.SUB, op.DIV, op.SDIV, op.MOD, op.SMOD, op.ADDMOD, op.MULMOD, op.EXP, op.SIGNEXTEND),
    *(op.LT, op.GT, op.SLT, op.SGT, op.EQ, op.ISZERO, op.AND, op.OR, op.XOR, op.NOT, op.BYTE),
    *(op.SHL, op.SHR, op.SAR),
)


@pytest.mark.parametrize("instruction", _ARITHMETIC)
@settings(max_examples=25)
@given(a=WORDS, b=WORDS, c=WORDS)
def test_arithmetic_is_py_evms_for_constants_and_for_values_known_only_when_running(
    instruction: int, a: int, b: int, c: int
) -> None:
    tail = bytes([instruction]) + _return_top()
    _same(_push(c) + _push(b) + _push(a) + tail)
    loads = b"".join(_push(32 * i) + bytes([op.CALLDATALOAD]) for i in (2, 1, 0))
    data = b"".join(x.to_bytes(32, "big") for x in (a, b, c))
    assert not _same(loads + tail, data)["is_error"]


_PLAIN = st.sampled_from(
    [
        *_ARITHMETIC,
        *(op.POP, op.MLOAD, op.MSTORE, op.MSTORE8, op.SLOAD, op.SSTORE, op.PC, op.MSIZE, op.GAS, op.JUMPDEST),
        *(op.CALLDATALOAD, op.CALLDATASIZE, op.CALLDATACOPY, op.CALLER, op.ADDRESS, op.SHA3, op.MCOPY),
        *(op.TLOAD, op.TSTORE, op.LOG0, op.LOG1, op.RETURNDATASIZE, op.CODESIZE, op.CODECOPY, op.TIMESTAMP),
        *(op.JUMP, op.JUMPI, op.STOP, op.RETURN, op.REVERT, op.STATICCALL, op.CALL, op.CREATE, 0x0C, 0xFE),
    ]
)
_STEP = st.one_of(
    _PLAIN.map(lambda instruction: bytes([instruction])),
    st.integers(op.DUP1, op.DUP16).map(lambda instruction: bytes([instruction])),
    st.integers(op.SWAP1, op.SWAP16).map(lambda instruction: bytes([instruction])),
    WORDS.map(_push),
    st.integers(0, 120).map(_push),
    st.integers(0, 120).map(_push),
)


@given(
    steps=st.lists(_STEP, max_size=60),
    data=st.binary(max_size=70),
    gas=st.integers(0, 60_000),
    depth=st.integers(0, 12),
)
def test_any_program_ends_as_in_py_evm(steps: list[bytes], data: bytes, gas: int, depth: int) -> None:
    prologue = b"".join(_push(3 * i + 1) for i in range(depth))
    _same(prologue + b"".join(steps), data, gas)


@given(code=st.binary(max_size=80), gas=st.integers(0, 30_000))
def test_any_bytes_end_as_in_py_evm(code: bytes, gas: int) -> None:
    _same(code, b"\x01\x02", gas)


@settings(max_examples=40)
@given(gas=st.integers(0, 3_000), turns=st.integers(0, 9))
@example(gas=400, turns=9)
def test_a_loop_runs_out_of_gas_at_the_same_gas(gas: int, turns: int) -> None:
    # count down from `turns`, doubling memory word 0 each time
    loop = bytes.fromhex("5b80156019576000518001600052600190036003565b60005160005260206000f3")
    _same(_push(turns) + bytes([op.JUMPDEST]) + loop, gas=gas)


@given(dynamic=st.integers(0, 40), jump=st.sampled_from([op.JUMP, op.JUMPI]))
def test_only_real_jump_destinations_are_jumped_to(dynamic: int, jump: int) -> None:
    # the target comes from call data; 0x5b also stands inside a constant
    code = _push(1) + _push(0) + bytes([op.CALLDATALOAD, jump]) + _push(0x5B5B) + b"\x5b\x00\x5b\x60"
    _same(code, dynamic.to_bytes(32, "big"))
    static = _push(1) + _push(dynamic) + bytes([jump]) + _push(0x5B5B) + b"\x5b\x00\x5b\x60"
    _same(static)


@pytest.mark.parametrize("depth", [1023, 1024, 1025])
def test_the_stack_holds_1024_items_and_not_one_more(depth: int) -> None:
    found = _same(bytes([op.PUSH0]) * depth + bytes([op.ADDRESS, op.POP]), gas=1_000_000)
    assert found["is_error"] == (depth > 1023)


def test_call_data_beyond_its_end_reads_as_zero() -> None:
    code = _push(2) + bytes([op.CALLDATALOAD]) + _return_top()
    assert _same(code, b"\x01\x02\x03")["output"] == b"\x03" + bytes(31)


def test_a_contract_called_by_a_contract_is_translated_too() -> None:
    call = (
        b"".join(_push(x) for x in (32, 0, 32, 0)) + b"\x73" + OTHER + _push(50_000) + bytes([op.STATICCALL])
    )
    store = _push(7) + _push(0) + bytes([op.MSTORE])
    assert not _same(store + call + _return_top())["is_error"]
    call = b"".join(_push(x) for x in (32, 0, 32, 0, 0)) + b"\x73" + OTHER + _push(50_000) + bytes([op.CALL])
    assert _same(store + call + _push(32) + _push(0) + bytes([op.RETURN]))["output"][-1] == 7
