"""The capacity tree: order, depth, sums below a node, refusals."""

import numpy as np
import pytest

from node.controller.errors import InvalidNetwork
from node.controller.network import CapacityTree, net_flows_w, subtree_totals


def tree(parent, import_cap_w=None, export_cap_w=None):
    free = [np.inf] * len(parent)
    return CapacityTree(
        tuple(f"n{v}" for v in range(len(parent))),
        np.array(parent, np.int64),
        np.array(free if import_cap_w is None else import_cap_w, np.float64),
        np.array(free if export_cap_w is None else export_cap_w, np.float64),
    )


def test_depth_levels_and_ancestors_of_a_feeder():
    t = tree([-1, 0, 0, 1, 3])
    assert t.depth.tolist() == [0, 1, 1, 2, 3]
    assert [level.tolist() for level in t.levels] == [[0], [1, 2], [3], [4]]
    assert t.ancestors().tolist() == [
        [0, 0, 0, 0, 0],
        [-1, 1, 2, 1, 1],
        [-1, -1, -1, 3, 3],
        [-1, -1, -1, -1, 4],
    ]
    assert t.path_to_root(4) == [4, 3, 1, 0]


def test_sums_below_a_node_stay_exact_integers():
    big = 2**60 + 1
    totals = subtree_totals(tree([-1, 0, 1]), np.array([1, 2, big], np.int64))
    assert totals.tolist() == [big + 3, big + 2, big]


def test_net_flow_adds_exports_and_imports_with_their_sign():
    flows = net_flows_w(tree([-1, 0, 0]), np.array([1, 1, 2]), np.array([500.0, -200.0, -400.0]))
    assert flows.tolist() == [-100.0, 300.0, -400.0]


@pytest.mark.parametrize(
    ("parent", "import_cap_w", "message"),
    [
        ([-1, 1], None, r"node 1 \(n1\) has parent 1"),
        ([0], None, "node 0"),
        ([-2], None, "parent -2"),
        ([-1], [-1.0], r"import_cap_w of node 0 \(n0\) is -1"),
        ([-1], [np.nan], "nan"),
        ([-1], [1.0, 2.0], "shape"),
        ([], None, "at least one node"),
    ],
)
def test_what_is_no_tree_is_refused(parent, import_cap_w, message):
    with pytest.raises(InvalidNetwork, match=message):
        tree(parent, import_cap_w)
