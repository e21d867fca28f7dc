"""What the tests of the chain's pipeline share: a small community on an embedded chain, and its services."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from node.bench.live_community import OPERATOR, LiveCommunity
from node.chain.carried import Carriage
from node.chain.contracts import Contracts, compile_contracts
from node.chain.embedded import EmbeddedChain, Genesis
from node.chain.reconcile import Recovery, reconcile, recover
from node.chain.sender import ContractCall, Driven, Sender
from node.chain.watcher import Watcher
from node.store.unit_of_work import Store

START_S = 2_000_000_700
CHAIN_ID = 1848
COMPILED = Path(__file__).resolve().parents[4] / "build" / "contracts"


@cache
def contracts() -> Contracts:
    return compile_contracts(COMPILED)


@dataclass
class Node:
    """A store, a chain and the services between them."""

    store: Store
    chain: Any
    community: LiveCommunity
    sender: Sender
    watcher: Watcher

    @classmethod
    def start(cls, folder: Path, n_members: int = 4, note: str = "test") -> "Node":
        chain = EmbeddedChain(folder / "chain.db", Genesis(CHAIN_ID, START_S, note=note))
        return cls.on(folder, chain, LiveCommunity(chain, contracts(), n_members))

    @classmethod
    def on(cls, folder: Path, chain: Any, community: LiveCommunity) -> "Node":
        store = Store(f"sqlite:///{folder / 'store.db'}")
        store.create_tables()
        return cls(store, chain, community, *cls.services(store, chain, community))

    @staticmethod
    def services(store: Store, chain: Any, community: LiveCommunity) -> tuple[Sender, Watcher]:
        carriage = Carriage(chain, contracts(), community.deployment)
        sender = Sender(store, chain, {OPERATOR: community.keys[OPERATOR]}, carriage)
        return sender, Watcher(store, chain, contracts(), community.deployment)

    def follow(self, chain: Any) -> None:
        """Go on with the same store on another view, or branch, of the chain."""
        self.chain = chain
        self.sender, self.watcher = self.services(self.store, chain, self.community)

    def restart(self, folder: Path, chain: Any | None = None) -> "Node":
        """Return a node that knows only what is on disk."""
        self.store.close()
        return Node.on(folder, chain or self.chain, self.community)

    def plan(self, calls: list[ContractCall]) -> None:
        with self.store.begin() as connection:
            for call in calls:
                self.sender.enqueue(connection, call)

    def mine(self, interval: int) -> None:
        at_s = max(self.community.end_s(interval), self.chain.head().timestamp_s + 1)
        self.chain.produce_block(at_s)

    def settle(self, sequence: int, interval: int) -> Driven:
        """Plan, send, mine and take in a whole interval."""
        self.plan(self.community.whole_interval(sequence, interval))
        self.sender.drive()
        self.mine(interval)
        driven = self.sender.drive()
        self.watcher.ingest()
        return driven

    def differences(self) -> list[Any]:
        with self.store.read() as connection:
            return reconcile(connection, self.chain, contracts(), self.community.deployment, is_full=True)

    def recover(self) -> Recovery:
        return recover(
            self.store, self.chain, contracts(), self.community.deployment, self.sender, self.watcher
        )

    def close(self) -> None:
        self.store.close()
        self.chain.close()
