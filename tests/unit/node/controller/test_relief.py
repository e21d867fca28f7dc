"""Storage below an overloaded node helps before anything is shed; hand-computed cases."""

import numpy as np

from node.controller.network import CapacityTree
from node.controller.relief import plan_relief, relieve

IMPORT_CAP_W = (np.inf, 3000, np.inf)
EXPORT_CAP_W = (np.inf, 2000, np.inf)


def run(wanted, low, high, reach=(1, 1), import_cap=IMPORT_CAP_W, export_cap=EXPORT_CAP_W):
    """Feeder 0, connections 1 and 2; devices: load and storage at 1, load and storage at 2."""
    tree = CapacityTree(
        ("feeder", "a", "b"),
        np.array([-1, 0, 0], np.int64),
        np.array(import_cap, float),
        np.array(export_cap, float),
    )
    plan = plan_relief(tree, np.array([1, 1, 2, 2]), np.array([1, 3]), np.array(reach))
    got = relieve(plan, np.array(wanted, float), np.array(low, float), np.array(high, float))
    return got.p_w.tolist(), got.relieved_node.tolist()


def test_nothing_moves_where_nothing_is_overloaded():
    assert run([-3000, 0, -9000, 0], [-500, -500], [500, 500]) == ([-3000, 0, -9000, 0], [-1] * 4)


def test_own_storage_discharges_before_own_load_is_shed():
    p, node = run([-5000, -1000, 0, 0], [-1500, -1500], [1500, 1500])
    assert p == [-5000, 1500, 0, 0]
    assert node == [-1, 1, -1, -1]


def test_it_gives_only_what_is_short():
    p, _ = run([-3500, -100, 0, 0], [-1500, -1500], [1500, 1500])
    assert p == [-3500, 500, 0, 0]


def test_surplus_is_stored_before_it_is_curtailed():
    p, node = run([4000, 0, 0, 0], [-1500, -1500], [1500, 1500])
    assert p == [4000, -1500, 0, 0]
    assert node == [-1, 1, -1, -1]


def test_a_neighbour_helps_only_if_it_lends():
    caps = {"import_cap": (2000, np.inf, np.inf)}
    assert run([-5000, 0, 0, 0], [-900, -900], [900, 900], (1, 1), **caps)[0] == [-5000, 0, 0, 0]
    p, node = run([-5000, 0, 0, 0], [-900, -900], [900, 1800], (0, 0), **caps)
    assert p == [-5000, 900, 0, 1800]
    assert node == [-1, 0, -1, 0]


def test_lenders_share_in_proportion_to_headroom():
    p, _ = run([-2600, 0, 0, 0], [-900, -900], [900, 1800], (0, 0), import_cap=(2000, np.inf, np.inf))
    assert p == [-2600, 200, 0, 400]


def test_what_helped_below_counts_above():
    # The connection is 500 short and gets it; the feeder (2600) then is only 400 short.
    p, _ = run([-3500, 0, 0, 0], [-900, -900], [900, 900], (0, 0), import_cap=(2600, 3000, np.inf))
    total = sum(p)
    assert abs(total + 2600) < 1e-9
    assert abs(p[1] + p[3] - 900) < 1e-9 and p[1] >= 500
