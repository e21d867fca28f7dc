"""Plain EVM instructions as Python expressions, for the translator; what differs from Python's own is a function.

References
----------
Ethereum yellow paper, appendix H; EIP-145 (shifts), EIP-5656 (MCOPY).
"""

from typing import Any

from eth.constants import GAS_COPY, GAS_SHA3WORD
from eth.exceptions import FullStack, InsufficientStack, InvalidJumpDestination, OutOfGas
from eth.vm import opcode_values as op
from eth_hash.auto import keccak

WORD = 2**256 - 1
SIGN = 2**255


def _signed(value: int) -> int:
    return value - 2**256 if value & SIGN else value


def _sdiv(a: int, b: int) -> int:
    if not b:
        return 0
    x, y = _signed(a), _signed(b)
    quotient = abs(x) // abs(y)
    return (-quotient if (x < 0) != (y < 0) else quotient) & WORD


def _smod(a: int, b: int) -> int:
    if not b:
        return 0
    x, y = _signed(a), abs(_signed(b))
    return (-(-x % y) if x < 0 else x % y) & WORD


def _sar(shift: int, value: int) -> int:
    return (_signed(value) >> min(shift, 256)) & WORD


def _signextend(size: int, value: int) -> int:
    if size > 30:
        return value
    bit = 1 << (8 * size + 7)
    value &= 2 * bit - 1
    return (value - 2 * bit) & WORD if value & bit else value


def _word_at(data: bytes, start: int) -> int:
    """Return the 32 bytes of call data at `start`, zeros beyond its end."""
    part = bytes(data[start : start + 32])
    return int.from_bytes(part, "big") << (256 - 8 * len(part))


def _reach(x: Any, start: int, size: int) -> Any:
    """Return the memory, grown and paid for so that it holds these bytes."""
    if size and start + size > len(x._memory._bytes):
        x.extend_memory(start, size)
    return x._memory._bytes


def _pay_words(meter: Any, price: int, size: int) -> None:
    remaining = meter.gas_remaining - price * ((size + 31) // 32)
    if remaining < 0:
        raise OutOfGas("words")
    meter.gas_remaining = remaining


def _sha3(x: Any, meter: Any, start: int, size: int) -> int:
    memory = _reach(x, start, size)
    _pay_words(meter, GAS_SHA3WORD, size)
    return int.from_bytes(keccak(bytes(memory[start : start + size])), "big")


def _mcopy(x: Any, meter: Any, target: int, start: int, size: int) -> None:
    _pay_words(meter, GAS_COPY, size)
    memory = _reach(x, max(target, start), size)
    if size:
        memory[target : target + size] = memory[start : start + size]


def _copy(x: Any, meter: Any, source: bytes, target: int, start: int, size: int) -> None:
    """Copy bytes from call data or code into memory, zeros beyond their end."""
    _pay_words(meter, GAS_COPY, size)
    memory = _reach(x, target, size)
    if size:
        memory[target : target + size] = bytes(source[start : start + size]).ljust(size, b"\0")


NAMES: dict[str, Any] = {
    "sha3": _sha3,
    "mcopy": _mcopy,
    "copy": _copy,
    "W": WORD,
    "S": SIGN,
    "sdiv": _sdiv,
    "smod": _smod,
    "sar": _sar,
    "signextend": _signextend,
    "word_at": _word_at,
    "of": int.from_bytes,
    "OutOfGas": OutOfGas,
    "FullStack": FullStack,
    "InsufficientStack": InsufficientStack,
    "InvalidJumpDestination": InvalidJumpDestination,
}

# Instruction -> how many operands, expression over them (a is the top of the stack).
EXPRESSIONS: dict[int, tuple[int, str]] = {
    op.ADD: (2, "({a} + {b}) & W"),
    op.MUL: (2, "({a} * {b}) & W"),
    op.SUB: (2, "({a} - {b}) & W"),
    op.DIV: (2, "{a} // {b} if {b} else 0"),
    op.SDIV: (2, "sdiv({a}, {b})"),
    op.MOD: (2, "{a} % {b} if {b} else 0"),
    op.SMOD: (2, "smod({a}, {b})"),
    op.ADDMOD: (3, "({a} + {b}) % {c} if {c} else 0"),
    op.MULMOD: (3, "({a} * {b}) % {c} if {c} else 0"),
    op.SIGNEXTEND: (2, "signextend({a}, {b})"),
    op.AND: (2, "{a} & {b}"),
    op.OR: (2, "{a} | {b}"),
    op.XOR: (2, "{a} ^ {b}"),
    op.NOT: (1, "{a} ^ W"),
    op.BYTE: (2, "({b} >> (248 - 8 * {a})) & 255 if {a} < 32 else 0"),
    op.SHL: (2, "({b} << {a}) & W if {a} < 256 else 0"),
    op.SHR: (2, "{b} >> {a} if {a} < 256 else 0"),
    op.SAR: (2, "sar({a}, {b})"),
}
CONDITIONS: dict[int, tuple[int, str]] = {
    op.LT: (2, "{a} < {b}"),
    op.GT: (2, "{a} > {b}"),
    op.SLT: (2, "({a} ^ S) < ({b} ^ S)"),
    op.SGT: (2, "({a} ^ S) > ({b} ^ S)"),
    op.EQ: (2, "{a} == {b}"),
    op.ISZERO: (1, "not {a}"),
}
# Instruction -> what the frame knows without being asked anything, and nothing can change.
FACTS: dict[int, str] = {
    op.CALLVALUE: "x.msg.value",
    op.CALLDATASIZE: "len(x.msg.data)",
    op.RETURNDATASIZE: "len(x.return_data)",
    op.CALLER: "of(x.msg.sender, 'big')",
    op.ADDRESS: "of(x.msg.storage_address, 'big')",
    op.TIMESTAMP: "x.state.timestamp",
    op.CODESIZE: "len(x.code)",
}
# Instruction -> how many operands, statement over them that moves bytes within memory or into it.
COPIES: dict[int, tuple[int, str]] = {
    op.MCOPY: (3, "mcopy(x, meter, {a}, {b}, {c})"),
    op.CALLDATACOPY: (3, "copy(x, meter, x.msg.data, {a}, {b}, {c})"),
    op.CODECOPY: (3, "copy(x, meter, x.code._raw_code_bytes, {a}, {b}, {c})"),
}
# Instructions that end a frame; py-evm raises in each.
ENDS = frozenset({op.STOP, op.RETURN, op.REVERT, op.SELFDESTRUCT})
# Instructions of py-evm that leave a result, which it may hold as bytes.
LEAVES_RESULT = frozenset(
    {
        *(op.EXP, op.BALANCE, op.ORIGIN, op.GASPRICE, op.EXTCODESIZE, op.EXTCODEHASH, op.BLOCKHASH),
        *(op.COINBASE, op.NUMBER, op.PREVRANDAO, op.GASLIMIT, op.CHAINID, op.SELFBALANCE),
        *(op.BASEFEE, op.BLOBHASH, op.BLOBBASEFEE, op.SLOAD, op.TLOAD, op.MSIZE, op.GAS),
        *(op.CREATE, op.CALL, op.CALLCODE, op.DELEGATECALL, op.CREATE2, op.STATICCALL),
    }
)
