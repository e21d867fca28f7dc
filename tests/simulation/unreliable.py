"""Chains that do not answer, lose answers and transactions, or are two nodes that disagree; all of it from a seed."""

import random
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

from eth_hash.auto import keccak

from node.chain.embedded import EmbeddedChain
from node.chain.ports import ChainUnavailable, Head

ASKED = (
    "head",
    "finalized",
    "block",
    "nonce",
    "call",
    "fees",
    "send_raw",
    "transaction",
    "receipt",
    "calls",
    "block_logs",
    "logs",
)


class _Between(ABC):
    """Stands between a node and its chain."""

    def __init__(self, chain: EmbeddedChain, chance: random.Random) -> None:
        self._chain = chain
        self._chance = chance

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._chain, name)
        if name not in ASKED:
            return found
        return lambda *arguments, **named: self._ask(name, found, *arguments, **named)

    @abstractmethod
    def _ask(self, name: str, found: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """Answer a call in the chain's place."""


class Unreliable(_Between):
    """A chain that in one call of eight is down, or does it and the answer is lost.

    Of receipts it loses some more, transactions it says to have taken and drops.
    """

    def _ask(self, name: str, found: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        luck = self._chance.random()
        if luck < 0.06:
            raise ChainUnavailable("down")
        if name == "send_raw" and luck < 0.2:
            return keccak(arguments[0])
        if name == "receipt" and luck < 0.3:
            return None
        answer = found(*arguments, **named)
        if luck > 0.94:
            raise ChainUnavailable("the answer is lost")
        return answer


class Disagreeing(_Between):
    """Two nodes behind one door: the other one is as old as its last copy, and may be on a branch of its own."""

    def __init__(self, chain: EmbeddedChain, chance: random.Random, folder: Path) -> None:
        super().__init__(chain, chance)
        self._folder = folder
        self._copies = 0
        self._other: EmbeddedChain | None = None

    def produce_block(self, timestamp_s: int) -> Head:
        """Make a block; the other node may stay behind, or make another one."""
        if self._chance.random() < 0.6:
            self.agree()
            path = self._folder / f"other-{self._copies}.db"
            self._copies += 1
            self._chain.backup(path)
            self._other = EmbeddedChain(path)
            if self._chance.random() < 0.4:
                self._other.produce_block(timestamp_s + 1)
        return self._chain.produce_block(timestamp_s)

    def agree(self) -> None:
        """Leave one node only."""
        if self._other is not None:
            self._other.close()
            self._other = None

    def _ask(self, name: str, found: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        if self._other is None or self._chance.random() < 0.6:
            return found(*arguments, **named)
        try:
            return getattr(self._other, name)(*arguments, **named)
        except ValueError as error:  # in this process what a node says of a block it does not have
            raise ChainUnavailable(str(error)) from error
