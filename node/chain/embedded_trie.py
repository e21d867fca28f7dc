"""Many keys set at once in a Merkle Patricia trie: each node on their ways is read, written and hashed once.

References
----------
Ethereum yellow paper, appendices B (RLP), C (hex-prefix encoding) and D (the trie).
"""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import rlp
from eth.constants import BLANK_ROOT_HASH
from eth_hash.auto import keccak

from node.chain.ports import Hash

# A child is a hash (32 bytes), a whole node's encoding (shorter: it stands in its parent), or nothing.
Ref = bytes
NOTHING: Ref = b""


class Path(NamedTuple):
    """A leaf with its value, or an extension with its child; `nibbles` in hex."""

    is_leaf: bool
    nibbles: str
    content: bytes


Branch = tuple[Ref, ...]  # sixteen children; keys are of equal length, so no branch has a value
Node = Path | Branch


class TrieWriter:
    """Sets keys in the trie of one root; new nodes are collected, not stored.

    Parameters
    ----------
    stored : Mapping[Hash, bytes]
        Encoded nodes by hash.
    new : dict[Hash, bytes]
        Where new encoded nodes go.
    decoded : dict[Hash, Node]
        Nodes that are known decoded; kept up to date. Only a cache.
    """

    def __init__(
        self, stored: Mapping[Hash, bytes], new: dict[Hash, bytes], decoded: dict[Hash, Any]
    ) -> None:
        self._stored = stored
        self._new = new
        self._decoded = decoded

    def update(self, root: Hash, items: Sequence[tuple[bytes, bytes]]) -> Hash:
        """Set keys of 32 bytes, none twice, to values (not empty) and return the new root."""
        if not items:
            return root
        ordered = sorted((key.hex(), value) for key, value in items)
        node = self._put(NOTHING if root == BLANK_ROOT_HASH else root, ordered, 0)
        encoded = _encode(node)
        found = keccak(encoded)
        self._new[found] = encoded
        self._decoded[found] = node
        return found

    def _put(self, ref: Ref, items: list[tuple[str, bytes]], depth: int) -> Node:
        """Return the node behind a reference with items set below it; keys agree up to `depth`."""
        if not ref:
            return self._build(items, depth)
        node = self._resolve(ref)
        if not isinstance(node, Path):
            children = list(node)
            self._put_children(children, items, depth)
            return tuple(children)
        if node.is_leaf:
            key = items[0][0][:depth] + node.nibbles
            if all(other != key for other, _ in items):
                items = sorted([*items, (key, node.content)])
            return self._build(items, depth)
        nibbles = node.nibbles
        common = min(_common(nibbles, items[0][0], depth), _common(nibbles, items[-1][0], depth))
        if common == len(nibbles):
            return Path(False, nibbles, self._ref(self._put(node.content, items, depth + common)))
        children = [NOTHING] * 16
        rest = nibbles[common + 1 :]
        below = self._ref(Path(False, rest, node.content)) if rest else node.content
        children[int(nibbles[common], 16)] = below
        self._put_children(children, items, depth + common)
        return self._below(nibbles[:common], tuple(children))

    def _put_children(self, children: list[Ref], items: list[tuple[str, bytes]], depth: int) -> None:
        for nibble, group in groupby(items, key=lambda item: item[0][depth]):
            index = int(nibble, 16)
            before = children[index]
            children[index] = self._ref(self._put(before, list(group), depth + 1))
            self._decoded.pop(before, None)  # replaced: only history needs it

    def _build(self, items: list[tuple[str, bytes]], depth: int) -> Node:
        """Return a node that holds just these items."""
        first, value = items[0]
        if len(items) == 1:
            return Path(True, first[depth:], value)
        common = _common(first[depth:], items[-1][0], depth)
        children = [NOTHING] * 16
        self._put_children(children, items, depth + common)
        return self._below(first[depth : depth + common], tuple(children))

    def _below(self, nibbles: str, branch: Branch) -> Node:
        return Path(False, nibbles, self._ref(branch)) if nibbles else branch

    def _ref(self, node: Node) -> Ref:
        encoded = _encode(node)
        if len(encoded) < 32:
            return encoded
        found: Hash = keccak(encoded)
        self._new[found] = encoded
        self._decoded[found] = node
        return found

    def _resolve(self, ref: Ref) -> Node:
        if len(ref) < 32:
            return _decode(ref)
        node: Node | None = self._decoded.get(ref)
        if node is None:
            encoded = self._new.get(ref)
            node = _decode(self._stored[ref] if encoded is None else encoded)
        return node


def _common(nibbles: str, key: str, depth: int) -> int:
    """Return how many nibbles agree with those of a key from `depth` on."""
    for i, nibble in enumerate(nibbles):
        if nibble != key[depth + i]:
            return i
    return len(nibbles)


def _encode(node: Node) -> bytes:
    if isinstance(node, Path):
        # hex-prefix: 0 and 1 for extensions, 2 and 3 for leaves, odd with the first nibble in the same byte
        is_odd = len(node.nibbles) % 2
        prefix = "31"[not node.is_leaf] if is_odd else ("20" if node.is_leaf else "00")
        content = _string(node.content) if node.is_leaf else _child(node.content)
        return _list(_string(bytes.fromhex(prefix + node.nibbles)) + content)
    return _list(b"".join(map(_child, node)) + b"\x80")


def _child(ref: Ref) -> bytes:
    if len(ref) == 32:
        return b"\xa0" + ref
    return ref or b"\x80"


def _string(data: bytes) -> bytes:
    if len(data) == 1 and data[0] < 0x80:
        return data
    if len(data) < 56:
        return bytes((0x80 + len(data),)) + data
    encoded: bytes = rlp.encode(data)
    return encoded


def _list(payload: bytes) -> bytes:
    size = len(payload)
    if size < 56:
        return bytes((0xC0 + size,)) + payload
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((0xF7 + len(length),)) + length + payload


def _decode(encoded: bytes) -> Node:
    parts = rlp.decode(encoded)
    if len(parts) == 2:
        path = parts[0].hex()
        flag = int(path[0])
        nibbles = path[1:] if flag & 1 else path[2:]
        is_leaf = flag >= 2
        return Path(is_leaf, nibbles, parts[1] if is_leaf else _as_ref(parts[1]))
    return tuple(map(_as_ref, parts[:16]))


def _as_ref(part: bytes | list[Any]) -> Ref:
    return part if isinstance(part, bytes) else rlp.encode(part)
