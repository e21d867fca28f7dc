"""Rare collections: fewer looks, the same garbage found, and everything as before afterwards."""

import gc
import weakref

import pytest

from node.garbage import YOUNG, rare_collections


class Ring:
    """An object that only a collection can free."""

    def __init__(self) -> None:
        self.me = self


def test_new_circular_garbage_is_still_found() -> None:
    with rare_collections():
        lost = weakref.ref(Ring())
        assert lost() is not None
        keep = [[] for _ in range(YOUNG + 1_000)]
    assert lost() is None
    assert keep


def test_what_existed_before_is_left_alone_inside_and_collected_afterwards() -> None:
    ring = Ring()
    lost = weakref.ref(ring)
    with rare_collections():
        del ring
        gc.collect()
        assert lost() is not None
    gc.collect()
    assert lost() is None


def test_thresholds_are_as_before_also_after_an_error() -> None:
    before = gc.get_threshold()
    seen = []

    def fail() -> None:
        with rare_collections():
            seen.append(gc.get_threshold())
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert seen == [(YOUNG, *before[1:])]
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == 0
