"""Who held a role, and whose key signs, at which time: as the contract answers."""

from contextlib import closing
from pathlib import Path

import pytest

from node.audit.commitment import BookNote, Note, decode_note, encode_note, noticeboard
from node.audit.opening import opened
from node.audit.record import CURTAILER, OPERATOR, Holders
from node.chain.embedded import EmbeddedChain, Genesis
from node.chain.ports import WrongChain

FIRST = tuple(bytes([n]) * 20 for n in range(1, 5))
HEIR, OTHER = b"\x11" * 20, b"\x12" * 20


def test_an_heir_holds_the_role_from_the_second_it_is_due() -> None:
    holders = Holders(FIRST)
    holders.change(OPERATOR, HEIR, since_s=1_000, now_s=500)
    assert [holders.at(OPERATOR, at) for at in (-1, 0, 999, 1_000, 9_999)] == [
        FIRST[0],
        FIRST[0],
        FIRST[0],
        HEIR,
        HEIR,
    ]
    assert holders.at(CURTAILER, 9_999) == FIRST[3]


def test_an_heir_who_still_waits_is_replaced_and_one_who_holds_is_not() -> None:
    holders = Holders(FIRST)
    holders.change(OPERATOR, HEIR, since_s=1_000, now_s=500)
    holders.change(OPERATOR, OTHER, since_s=1_100, now_s=600)
    assert holders.at(OPERATOR, 1_050) == FIRST[0]
    assert holders.at(OPERATOR, 1_100) == OTHER
    holders.change(OPERATOR, HEIR, since_s=3_000, now_s=2_000)
    assert holders.at(OPERATOR, 2_999) == OTHER
    assert holders.at(OPERATOR, 3_000) == HEIR


def test_a_note_is_standard_calldata() -> None:
    """The first bytes are the selector of the signature that any wallet shows, then 32-byte words."""
    note = Note(7, b"\1" * 32, (BookNote(0, 40, b"\2" * 32), BookNote(1, 44, b"\3" * 32)))
    data = encode_note(note)
    assert len(data) == 4 + 32 * (3 + 1 + 2 * 3)
    assert int.from_bytes(data[4:36], "big") == 7
    assert data[36:68] == b"\1" * 32
    assert decode_note(data) == note
    assert decode_note(b"\0\0\0\0" + data[4:]) is None


def test_every_community_has_its_own_noticeboard() -> None:
    assert noticeboard(FIRST[0]) != noticeboard(FIRST[1])
    assert len(noticeboard(FIRST[0])) == 20


def test_the_chain_is_named_once_and_is_the_expected_one(tmp_path: Path) -> None:
    path = tmp_path / "chain.sqlite"
    with closing(EmbeddedChain(path, Genesis(5, 1_000))) as chain:
        chain.produce_block(2_000)
        with opened(None, path, 5) as copy:
            assert copy.head() == chain.head()
    for rpc, file in ((None, None), ("http://127.0.0.1:1", path)):
        with pytest.raises(ValueError, match="either --rpc URL or --chain FILE"), opened(rpc, file, 5):
            pass
    with pytest.raises(WrongChain, match="has id 5, expected 6"), opened(None, path, 6):
        pass
    with pytest.raises(WrongChain, match="no such file"), opened(None, tmp_path / "none", 5):
        pass
    (tmp_path / "text").write_text("no database, but long enough to look at")
    with pytest.raises(WrongChain, match=r"chain .*text: "), opened(None, tmp_path / "text", 5):
        pass
