"""Tries written in batches against py-trie, which sets one key at a time."""

from eth.constants import BLANK_ROOT_HASH
from hypothesis import given
from hypothesis import strategies as st
from trie import HexaryTrie

from node.chain.embedded_trie import TrieWriter

# Keys that share long beginnings, so that every kind of split happens, and short values that stand in parents.
_KEYS = st.builds(
    lambda head, tail: (bytes(head) + bytes(32))[: 32 - len(tail)] + bytes(tail),
    st.lists(st.sampled_from([0, 1, 0x10, 0x11]), max_size=3),
    st.lists(st.sampled_from([0, 1, 0x10, 0xFF]), max_size=3),
)
_BATCH = st.dictionaries(_KEYS, st.binary(min_size=1, max_size=70), max_size=12)


@given(batches=st.lists(_BATCH, max_size=5), with_cache=st.booleans())
def test_batches_give_the_roots_and_the_nodes_of_single_steps(
    batches: list[dict[bytes, bytes]], with_cache: bool
) -> None:
    theirs, ours = HexaryTrie({}), {}
    decoded: dict[bytes, object] = {}
    root = BLANK_ROOT_HASH
    for batch in batches:
        for key, value in batch.items():
            theirs[key] = value
        new: dict[bytes, bytes] = {}
        root = TrieWriter(ours, new, decoded if with_cache else {}).update(root, list(batch.items()))
        ours.update(new)
        assert root == theirs.root_hash
    # Every key can be read from what was written, so no node is missing.
    mine = HexaryTrie(ours, root)
    for key in {key for batch in batches for key in batch}:
        assert mine[key] == theirs[key]
