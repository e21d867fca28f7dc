"""The embedded chain's state: plain dictionaries with an undo list, written to Merkle tries once a block.

py-evm's own account database sends every read and write through journals, caches and tries. Here a value is a
dictionary entry; what a failed frame did is undone from a list; tries are read for what was never seen and
written when the block ends. Values at the newest root stay known from block to block.

`tests/unit/node/chain/test_embedded_state.py` compares it with py-evm's account database.
"""

from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import rlp
from eth.abc import AccountDatabaseAPI
from eth.constants import BLANK_ROOT_HASH, EMPTY_SHA3
from eth_hash.auto import keccak
from eth_typing import Hash32
from trie import HexaryTrie

from node.chain.embedded_trie import TrieWriter
from node.chain.ports import Address

# Some 200 B each; beyond that everything is read again.
KNOWN_VALUES = 1_000_000


class AccountEntry(NamedTuple):
    """What the state trie holds for an address."""

    nonce: int = 0
    balance: int = 0
    storage_root: Hash32 = BLANK_ROOT_HASH
    code_hash: Hash32 = EMPTY_SHA3


EMPTY = AccountEntry()


@dataclass(slots=True)
class KnownState:
    """Values at one root, as far as they have been read or written."""

    root: Hash32 = BLANK_ROOT_HASH
    accounts: dict[Address, AccountEntry | None] = field(default_factory=dict)
    slots: dict[tuple[Address, int], int] = field(default_factory=dict)
    nodes: dict[bytes, Any] = field(default_factory=dict)  # of the tries, decoded


class FlatAccounts(AccountDatabaseAPI):
    """The account database of one block, or of one call.

    Parameters
    ----------
    db : ChainFile
        Nodes by hash; its `known` state is used if it is of this root.
    state_root : Hash32
        Where to begin.
    """

    def __init__(self, db: Any, state_root: Hash32 = BLANK_ROOT_HASH) -> None:
        self._db = db
        self._root = state_root
        known = getattr(db, "known", None)
        self._known: KnownState = known if known and known.root == state_root else KnownState(state_root)
        self._accounts: dict[Address, AccountEntry | None] = {}  # as they are now, if changed
        self._slots: dict[tuple[Address, int], int] = {}  # as they are now, if changed
        self._wiped: frozenset[Address] = frozenset()  # whose slots in the trie no longer count
        self._before: dict[tuple[Address, int], int] = {}  # at the start of this transaction, if changed
        self._codes: dict[bytes, bytes] = {}
        self._warm: set[Address | tuple[Address, int]] = set()
        self._undo: list[tuple[Any, ...]] = []
        self._nodes: dict[bytes, bytes] = {}

    # -------------------------------------------------------------- roots

    @property
    def state_root(self) -> Hash32:
        """The root of the last `make_state_root`, or where this began."""
        return self._root

    @state_root.setter
    def state_root(self, value: Hash32) -> None:
        if value != self._root:
            raise ValueError("a state goes back by `discard`, not by root")

    def has_root(self, state_root: bytes) -> bool:
        """Return whether the state of a root is there."""
        return state_root == BLANK_ROOT_HASH or state_root in self._db

    # -------------------------------------------------------------- storage

    def get_storage(self, address: Address, slot: int, from_journal: bool = True) -> int:
        """Return a slot now, or (not `from_journal`) at the start of the transaction."""
        key = (address, slot)
        if not from_journal and key in self._before:
            return self._before[key]
        value = self._slots.get(key)
        if value is not None:
            return value
        if address in self._wiped:
            return 0
        value = self._known.slots.get(key)
        if value is None:
            value = self._known.slots[key] = self._stored(address, slot)
        return value

    def _stored(self, address: Address, slot: int) -> int:
        entry = self._account_at_root(address)
        if entry is None or entry.storage_root == BLANK_ROOT_HASH:
            return 0
        found = HexaryTrie(self._db, entry.storage_root)[keccak(slot.to_bytes(32, "big"))]
        return int.from_bytes(rlp.decode(found), "big") if found else 0

    def set_storage(self, address: Address, slot: int, value: int) -> None:
        """Set a slot."""
        key = (address, slot)
        self._before.setdefault(key, self.get_storage(address, slot))
        self._undo.append((self._slots, key, self._slots.get(key)))
        self._slots[key] = value

    def delete_storage(self, address: Address) -> None:
        """Forget all slots of an address."""
        for key in [key for key in self._slots if key[0] == address]:
            self._before.setdefault(key, self._slots[key])
            self._undo.append((self._slots, key, self._slots.pop(key)))
        self._undo.append((None, self._wiped))
        self._wiped |= {address}

    def is_storage_warm(self, address: Address, slot: int) -> bool:
        """Return whether this transaction has used a slot."""
        return (address, slot) in self._warm

    def mark_storage_warm(self, address: Address, slot: int) -> None:
        """Remember that this transaction has used a slot."""
        self._mark((address, slot))

    def is_address_warm(self, address: Address) -> bool:
        """Return whether this transaction has used an address."""
        return address in self._warm

    def mark_address_warm(self, address: Address) -> None:
        """Remember that this transaction has used an address."""
        self._mark(address)

    def _mark(self, key: Address | tuple[Address, int]) -> None:
        if key not in self._warm:
            self._warm.add(key)
            self._undo.append((self._warm, key))

    # -------------------------------------------------------------- accounts

    def _account(self, address: Address) -> AccountEntry | None:
        if address in self._accounts:
            return self._accounts[address]
        return self._account_at_root(address)

    def _account_at_root(self, address: Address) -> AccountEntry | None:
        known = self._known
        if address not in known.accounts:
            found = HexaryTrie(self._db, known.root)[keccak(address)]
            entry = None
            if found:
                nonce, balance, storage_root, code_hash = rlp.decode(found)
                entry = AccountEntry(
                    int.from_bytes(nonce, "big"), int.from_bytes(balance, "big"), storage_root, code_hash
                )
            known.accounts[address] = entry
        return known.accounts[address]

    def _set(self, address: Address, entry: AccountEntry | None) -> None:
        is_changed = address in self._accounts
        self._undo.append((self._accounts, address, self._accounts.get(address), is_changed))
        self._accounts[address] = entry

    def get_balance(self, address: Address) -> int:
        """Return a balance in wei."""
        return (self._account(address) or EMPTY).balance

    def set_balance(self, address: Address, balance: int) -> None:
        """Set a balance in wei."""
        self._set(address, (self._account(address) or EMPTY)._replace(balance=balance))

    def get_nonce(self, address: Address) -> int:
        """Return a nonce."""
        return (self._account(address) or EMPTY).nonce

    def set_nonce(self, address: Address, nonce: int) -> None:
        """Set a nonce."""
        self._set(address, (self._account(address) or EMPTY)._replace(nonce=nonce))

    def increment_nonce(self, address: Address) -> None:
        """Add one to a nonce."""
        self.set_nonce(address, self.get_nonce(address) + 1)

    def get_code(self, address: Address) -> bytes:
        """Return the code at an address."""
        code_hash = self.get_code_hash(address)
        if code_hash == EMPTY_SHA3:
            return b""
        code = self._codes.get(code_hash)
        return self._db[code_hash] if code is None else code

    def set_code(self, address: Address, code: bytes) -> None:
        """Set the code at an address."""
        code_hash = Hash32(keccak(code))
        self._codes[code_hash] = code
        self._set(address, (self._account(address) or EMPTY)._replace(code_hash=code_hash))

    def get_code_hash(self, address: Address) -> Hash32:
        """Return the hash of the code at an address."""
        return (self._account(address) or EMPTY).code_hash

    def delete_code(self, address: Address) -> None:
        """Remove the code at an address."""
        self._set(address, (self._account(address) or EMPTY)._replace(code_hash=EMPTY_SHA3))

    def account_has_code_or_nonce(self, address: Address) -> bool:
        """Return whether an address was ever used as a contract or sender."""
        entry = self._account(address) or EMPTY
        return entry.nonce != 0 or entry.code_hash != EMPTY_SHA3

    def account_exists(self, address: Address) -> bool:
        """Return whether the state holds an entry for an address."""
        return self._account(address) is not None

    def account_is_empty(self, address: Address) -> bool:
        """Return whether an address has neither nonce, balance nor code."""
        entry = self._account(address) or EMPTY
        return entry.nonce == 0 and entry.balance == 0 and entry.code_hash == EMPTY_SHA3

    def touch_account(self, address: Address) -> None:
        """Give an address an entry if it has none."""
        if self._account(address) is None:
            self._set(address, EMPTY)

    def delete_account(self, address: Address) -> None:
        """Remove an address with its slots."""
        self.delete_storage(address)
        self._set(address, None)

    # -------------------------------------------------------------- frames and transactions

    def record(self) -> Any:
        """Return a mark to go back to."""
        return _Mark(len(self._undo))

    def discard(self, checkpoint: Any) -> None:
        """Go back to a mark."""
        undo = self._undo
        while len(undo) > checkpoint.position:
            where, *what = undo.pop()
            if where is None:
                self._wiped = what[0]
            elif where is self._warm:
                where.discard(what[0])
            elif where is self._accounts:
                address, entry, was_changed = what
                if was_changed:
                    where[address] = entry
                else:
                    del where[address]
            elif what[1] is None:
                where.pop(what[0], None)
            else:
                where[what[0]] = what[1]

    def commit(self, checkpoint: Any) -> None:
        """Keep what was done since a mark: it can still be undone from an earlier one."""

    def lock_changes(self) -> None:
        """Begin a transaction: nothing before it can be undone."""
        self._undo.clear()
        self._before.clear()
        self._warm.clear()

    # -------------------------------------------------------------- tries

    def make_state_root(self) -> Hash32:
        """Write all changes into the tries, in memory, and return the root."""
        self.lock_changes()
        overlay = _Overlay(self._db, self._nodes)
        changed = {address for address, _ in self._slots} | self._wiped
        for address in sorted(changed):
            entry = self._account(address)
            root = self._storage_root(overlay, address, entry)
            if entry is not None or root != BLANK_ROOT_HASH:
                self._accounts[address] = (entry or EMPTY)._replace(storage_root=root)
        sets, deletes = [], []
        for address, entry in self._accounts.items():
            if entry is not None:
                sets.append((keccak(address), rlp.encode(entry)))
            elif self._account_at_root(address) is not None:
                deletes.append(keccak(address))
        self._root = self._write(overlay, self._known.root, sets, deletes)
        return self._root

    def _storage_root(self, overlay: "_Overlay", address: Address, entry: AccountEntry | None) -> Hash32:
        before = BLANK_ROOT_HASH if address in self._wiped else (entry or EMPTY).storage_root
        sets, deletes = [], []
        for (owner, slot), value in self._slots.items():
            if owner == address:
                key = keccak(slot.to_bytes(32, "big"))
                if value:
                    sets.append((key, rlp.encode(value)))
                else:
                    deletes.append(key)
        return self._write(overlay, before, sets, deletes)

    def _write(
        self, overlay: "_Overlay", root: Hash32, sets: list[tuple[bytes, bytes]], deletes: list[bytes]
    ) -> Hash32:
        """Write one trie: the few deletions as they come, the many settings at once."""
        if deletes:
            trie = HexaryTrie(overlay, root)
            with trie.squash_changes() as work:
                for key in deletes:
                    if key in work:
                        del work[key]
            root = Hash32(trie.root_hash)
        return Hash32(TrieWriter(overlay, self._nodes, self._known.nodes).update(root, sets))

    def persist(self) -> Any:
        """Hand all new nodes and code to the database, and let it know the values at the new root."""
        self.make_state_root()
        for part in (self._codes, self._nodes):
            for node_hash, body in part.items():
                self._db[node_hash] = body
        known = self._known
        if len(known.slots) + len(known.nodes) > KNOWN_VALUES:
            known = KnownState()
        for address in self._wiped:
            for key in [key for key in known.slots if key[0] == address]:
                del known.slots[key]
        known.slots.update(self._slots)
        known.accounts.update(self._accounts)
        known.root = self._root
        self._db.known = self._known = known
        self._accounts, self._slots, self._wiped = {}, {}, frozenset()
        self._codes, self._nodes = {}, {}


class _Mark:
    """A place in the undo list; an object of its own, as py-evm's transient storage wants unique marks."""

    __slots__ = ("position",)

    def __init__(self, position: int) -> None:
        self.position = position


class _Overlay(MutableMapping[bytes, bytes]):
    """New nodes over stored ones."""

    def __init__(self, db: Any, nodes: dict[bytes, bytes]) -> None:
        self._db = db
        self._new = nodes

    def __getitem__(self, key: bytes) -> bytes:
        body = self._new.get(key)
        return self._db[key] if body is None else body

    def __setitem__(self, key: bytes, value: bytes) -> None:
        self._new[key] = value

    def __delitem__(self, key: bytes) -> None:
        del self._new[key]

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._new)

    def __len__(self) -> int:
        return len(self._new)

    def __contains__(self, key: object) -> bool:
        return key in self._new or key in self._db
