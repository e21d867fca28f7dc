"""The bundle's hash on chain: a note of the operator on the community's noticeboard.

The noticeboard is an address that nobody has a key for, derived from the Settlement contract's; a note is a
transaction to it whose calldata names the interval, the hash of its bundle and the book root of every round.

Notes
-----
Why no contract: a hash that is stored on chain guards nothing that a hash in calldata does not. What counts is
that the operator signed it (the transaction's signature), when (its block), and that it cannot be taken back
(the first note of an interval counts, a different second one is evidence against the operator). The
settlement contracts stay as they are, and a note costs 25,000 gas instead of a storage write more.
"""

from dataclasses import dataclass
from typing import Final

from eth_abi import decode as abi_decode
from eth_abi import encode as abi_encode
from eth_abi.exceptions import DecodingError
from eth_hash.auto import keccak

from node.chain.ports import Address

NOTE: Final = "publish(uint256,bytes32,(uint256,uint256,bytes32)[])"
NOTE_SELECTOR: Final = keccak(NOTE.encode())[:4]
_TYPES: Final = ["uint256", "bytes32", "(uint256,uint256,bytes32)[]"]
# A note of four rounds takes 21,000 and 16 per byte of calldata, or 40 where EIP-7623 sets a floor.
NOTE_GAS: Final = 100_000
KIND: Final = "bundle"
"""What the outbox calls a note; its reference is the interval."""


@dataclass(frozen=True, slots=True)
class BookNote:
    """A round as it is committed: it saw the orders before `next_sequence`."""

    round: int
    next_sequence: int
    book_root: bytes


@dataclass(frozen=True, slots=True)
class Note:
    """What the operator says of an interval, once and for ever."""

    interval: int
    bundle_hash: bytes
    books: tuple[BookNote, ...]


def noticeboard(settlement: Address) -> Address:
    """Return the address to which a community's notes go."""
    return keccak(b"symbiotic grid noticeboard" + settlement)[12:]


def bundle_hash(data: bytes) -> bytes:
    """Return the hash under which a bundle's file is known on chain: keccak256 of its bytes."""
    return keccak(data)


def encode_note(note: Note) -> bytes:
    """Return a note's calldata."""
    books = [(book.round, book.next_sequence, book.book_root) for book in note.books]
    return NOTE_SELECTOR + abi_encode(_TYPES, [note.interval, note.bundle_hash, books])


def decode_note(calldata: bytes) -> Note | None:
    """Read a note's calldata; None if it is none: anyone may write to the noticeboard."""
    if calldata[:4] != NOTE_SELECTOR:
        return None
    try:
        interval, hashed, books = abi_decode(_TYPES, calldata[4:])
    except (DecodingError, OverflowError):
        return None
    note = Note(interval, hashed, tuple(BookNote(*book) for book in books))
    return note if encode_note(note) == calldata else None
