"""A compiled contract's functions and events as bytes and back."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from eth_abi.codec import ABICodec
from eth_abi.decoding import AddressDecoder
from eth_abi.encoding import AddressEncoder
from eth_abi.registry import registry
from eth_hash.auto import keccak

from node.errors import Permanent


class ContractError(Permanent):
    """Sources that are missing, an address book that is damaged, code or calldata that is not ours."""


class _RawAddressDecoder(AddressDecoder):
    """Addresses are 20 bytes everywhere in this project."""

    decoder_fn = staticmethod(lambda raw: raw[-20:])  # type: ignore[assignment]


_REGISTRY = registry.copy()
_REGISTRY.unregister("address")
_REGISTRY.register("address", AddressEncoder, _RawAddressDecoder, label="address")
_CODEC: Final = ABICodec(_REGISTRY)


@dataclass(frozen=True)
class Event:
    """A log of one of our contracts, decoded."""

    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class Contract:
    """A compiled contract: what is sent to deploy it and how its functions and events are encoded."""

    name: str
    abi: tuple[Mapping[str, Any], ...]
    init_code: bytes
    runtime: bytes

    @cached_property
    def _functions(self) -> dict[str, tuple[bytes, list[str], list[str]]]:
        found = {}
        for entry in self.abi:
            if entry["type"] == "function":
                inputs = [_type_of(field) for field in entry["inputs"]]
                selector = keccak(f"{entry['name']}({','.join(inputs)})".encode())[:4]
                found[entry["name"]] = selector, inputs, [_type_of(field) for field in entry["outputs"]]
        return found

    @cached_property
    def _events(self) -> dict[bytes, Mapping[str, Any]]:
        return {
            keccak(f"{entry['name']}({','.join(map(_type_of, entry['inputs']))})".encode()): entry
            for entry in self.abi
            if entry["type"] == "event"
        }

    @property
    def functions(self) -> tuple[str, ...]:
        """The names of all external functions."""
        return tuple(self._functions)

    def selector(self, function: str) -> bytes:
        """Return the four bytes with which calldata of a function begins."""
        return self._functions[function][0]

    def encode(self, function: str, *arguments: Any) -> bytes:
        """Return the calldata of a function call."""
        selector, inputs, _ = self._functions[function]
        return selector + _CODEC.encode(inputs, arguments)

    def arguments(self, function: str, calldata: bytes) -> tuple[Any, ...]:
        """Return the arguments in calldata of a function."""
        selector, inputs, _ = self._functions[function]
        if calldata[:4] != selector:
            raise ContractError(f"0x{calldata[:4].hex()} is not {self.name}.{function}")
        return tuple(_CODEC.decode(inputs, calldata[4:]))

    def result(self, function: str, returned: bytes) -> Any:
        """Return what a call returned: one value, or a tuple of several."""
        values = _CODEC.decode(self._functions[function][2], returned)
        return values[0] if len(values) == 1 else tuple(values)

    def creation(self, *arguments: Any) -> bytes:
        """Return the data of the transaction that deploys the contract."""
        inputs = next(
            [_type_of(field) for field in entry["inputs"]]
            for entry in self.abi
            if entry["type"] == "constructor"
        )
        return self.init_code + _CODEC.encode(inputs, arguments)

    def event(self, topics: tuple[bytes, ...], data: bytes) -> Event | None:
        """Decode a log, or return None if it is no event of this contract."""
        entry = self._events.get(topics[0]) if topics else None
        if entry is None:
            return None
        indexed = [field for field in entry["inputs"] if field["indexed"]]
        plain = [field for field in entry["inputs"] if not field["indexed"]]
        found = dict(
            zip(
                [field["name"] for field in plain],
                _CODEC.decode(list(map(_type_of, plain)), data),
                strict=True,
            )
        )
        for field, topic in zip(indexed, topics[1:], strict=True):
            found[field["name"]] = _CODEC.decode([_type_of(field)], topic)[0]
        return Event(entry["name"], found)


def _type_of(field: Mapping[str, Any]) -> str:
    """Return the canonical ABI type of an input, output or event field."""
    kind: str = field["type"]
    if not kind.startswith("tuple"):
        return kind
    return f"({','.join(map(_type_of, field['components']))}){kind.removeprefix('tuple')}"
