"""Every reason has its sentence."""

import pytest

from node.controller.reasons import Reason, describe


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_reads_as_a_sentence(reason):
    text = describe(reason, node="cable-2", event="evening")
    assert text and "{" not in text


def test_a_reason_about_a_node_names_it():
    assert describe(Reason.CAPACITY, node="cable-2") == "capacity of node cable-2"
    assert describe(Reason.GRID_EVENT, event="evening") == "grid event evening"
