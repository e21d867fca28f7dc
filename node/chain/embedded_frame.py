"""A frame of the embedded chain: translated code, and signatures recovered without detours.

References
----------
EIP-2 and the yellow paper, appendix E.1 (ecrecover).
"""

from collections.abc import Iterator
from typing import Any

import coincurve
from eth.constants import GAS_ECRECOVER
from eth.vm.code_stream import CodeStream
from eth.vm.forks.prague.computation import PRAGUE_PRECOMPILES, PragueComputation
from eth.vm.forks.prague.opcodes import PRAGUE_OPCODES
from eth_hash.auto import keccak
from lru import LRU

from node.chain.embedded_translate import Translation
from node.chain.keys import GROUP_ORDER

# Not a byte: what the code stream yields once, to start the translated code.
RUN = -1
ECRECOVER = bytes(19) + b"\x01"
MAX_DEPTH = 1024

# A community has three contracts; tests deploy more.
_TRANSLATIONS: "LRU[bytes, Translation]" = LRU(64)


def translation_of(code: bytes) -> Translation:
    """Return a code's translation, the same object as long as it is in use."""
    found = _TRANSLATIONS.get(code)
    if found is None:
        found = _TRANSLATIONS[code] = Translation(code)
    return found


def run_translated(computation: Any) -> None:
    """Run a frame's code to its end, which py-evm signals by raising (halt, revert or error)."""
    translation = translation_of(bytes(computation.code._raw_code_bytes))
    stack, meter, position = computation._stack.values, computation._gas_meter, 0
    while True:
        position = translation[position](computation, stack, meter)


def ecrecover(computation: Any) -> Any:
    """Recover the address that signed a hash; no output where nobody can have."""
    computation.consume_gas(GAS_ECRECOVER, reason="ecrecover")
    data = computation.msg.data_as_bytes[:128].ljust(128, b"\0")
    v, r, s = (int.from_bytes(data[i : i + 32], "big") for i in (32, 64, 96))
    if v not in (27, 28) or not 0 < r < GROUP_ORDER or not 0 < s < GROUP_ORDER:
        return computation
    try:
        signature = data[64:128] + bytes((v - 27,))
        public = coincurve.PublicKey.from_signature_and_message(signature, data[:32], hasher=None)
    except ValueError:
        return computation
    computation.output = bytes(12) + keccak(public.format(compressed=False)[1:])[12:]
    return computation


_INSTRUCTIONS: dict[int, Any] = {**PRAGUE_OPCODES, RUN: run_translated}


class _TranslatedCode(CodeStream):
    """Code that py-evm's loop starts as one instruction."""

    def __iter__(self) -> Iterator[int]:
        yield RUN


class TranslatedComputation(PragueComputation):
    """A frame of the `prague` fork that runs translated code."""

    opcodes = _INSTRUCTIONS
    _precompiles = {  # noqa: RUF012
        **PRAGUE_PRECOMPILES,
        ECRECOVER: ecrecover,
    }

    def __init__(self, state: Any, message: Any, transaction_context: Any) -> None:
        super().__init__(state, message, transaction_context)
        self.code = _TranslatedCode(message.code)

    @classmethod
    def apply_message(
        cls, state: Any, message: Any, transaction_context: Any, parent_computation: Any = None
    ) -> Any:
        """Apply a message; one to a precompiled contract that moves no money needs no way back.

        All it could change is that an empty account appears, which the end of the transaction removes.
        """
        is_plain = not message.value and message.depth <= MAX_DEPTH and not message.is_create
        if is_plain and message.code_address in cls._precompiles:
            return cls.apply_computation(state, message, transaction_context, parent_computation)
        return super().apply_message(state, message, transaction_context, parent_computation)
