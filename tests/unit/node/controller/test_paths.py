"""Transfer paths against brute force over all simple paths, and shares against a general solver."""

import numpy as np
import pytest
from scipy.optimize import minimize

from node.controller.errors import InvalidNetwork, InvalidRequest
from node.controller.paths import TieNetwork, best_path, split_transfer


def network(ends, length_m, ohm_per_m=0.001, limit_a=200.0, bus_v=380.0):
    n = len(ends)
    ends = np.array(ends, np.int64).reshape(n, 2)
    full = np.ones(n)
    return TieNetwork(
        int(ends.max()) + 1 if n else 1,
        ends,
        np.array(length_m, float),
        ohm_per_m * full,
        limit_a * full,
        bus_v,
    )


def random_network(rng, n_nodes):
    ends = [(int(rng.integers(0, v)), v) for v in range(1, n_nodes)]
    ends += [tuple(rng.choice(n_nodes, 2, replace=False)) for _ in range(int(rng.integers(0, 2 * n_nodes)))]
    n = len(ends)
    return TieNetwork(
        n_nodes,
        np.array(ends, np.int64),
        rng.uniform(2, 60, n),
        rng.choice([0.0005, 0.001, 0.004], n),
        rng.choice([20.0, 60.0, 200.0], n),
        380.0,
    )


def all_paths(net, donor, receiver):
    """Every simple path as a list of cables."""

    def walk(at, seen, cables):
        if at == receiver:
            yield cables
            return
        for cable, (a, b) in enumerate(net.ends.tolist()):
            to = b if a == at else a if b == at else None
            if to is not None and to not in seen:
                yield from walk(to, {*seen, to}, [*cables, cable])

    yield from walk(donor, {donor}, [])


@pytest.mark.parametrize("seed", range(40))
def test_the_best_path_equals_brute_force_up_to_twelve_nodes(seed):
    rng = np.random.default_rng(seed)
    n_nodes = 12 if seed < 4 else int(rng.integers(2, 9))
    net = random_network(rng, n_nodes)
    flow = rng.uniform(0, 30, net.length_m.size) * (rng.random(net.length_m.size) < 0.4)
    p_w = rng.uniform(500, 15_000)
    current, ohm, drop_max = p_w / net.bus_v, net.resistance_ohm, 0.01
    best = np.inf
    for cables in all_paths(net, 0, n_nodes - 1):
        if np.all(flow[cables] + current <= net.limit_a[cables]):
            drop = float(np.sum(ohm[cables] * (flow[cables] + current)))
            loss = float(np.sum(ohm[cables] * ((flow[cables] + current) ** 2 - flow[cables] ** 2)))
            if drop <= drop_max * net.bus_v:
                best = min(best, loss)
    got = best_path(net, 0, n_nodes - 1, p_w, flow, drop_max)
    assert (got is None) == np.isinf(best)
    if got is not None:
        assert got.loss_w == pytest.approx(best, rel=1e-9)
        assert got.nodes[0] == 0 and got.nodes[-1] == n_nodes - 1


def test_loss_and_drop_of_one_cable_are_those_of_ohms_law():
    got = best_path(network([(0, 1)], [50.0]), 0, 1, 3_800.0)
    # 10 A through 0.05 ohm.
    assert (got.loss_w, got.drop_v, got.length_m) == pytest.approx((5.0, 0.5, 50.0))


def test_a_short_thin_cable_loses_to_a_long_thick_one():
    net = TieNetwork(
        3, np.array([[0, 2], [0, 1], [1, 2]]), np.array([30.0, 40, 40]), np.array([0.01, 0.001, 0.001]),
        np.full(3, 100.0), 380.0,
    )  # fmt: skip
    assert best_path(net, 0, 2, 1_000.0).cables == (1, 2)


def test_a_path_with_too_much_drop_is_left_for_one_that_loses_more():
    # Direct: idle; the drop counts what flows already. Without a limit the loaded, thicker detour would win.
    net = network([(0, 2), (0, 1), (1, 2)], [100.0, 45.0, 45.0])
    free = best_path(net, 0, 2, 3_800.0, np.array([0.0, 0.5, 0.5]))
    assert free.cables == (1, 2)
    tight = best_path(net, 0, 2, 3_800.0, np.array([0.0, 1.5, 1.5]), drop_max_pu=1.01 / 380)
    assert tight.cables == (0,)
    assert best_path(net, 0, 2, 3_800.0, drop_max_pu=0.5 / 380) is None


def test_the_split_loses_no_more_than_a_general_solver_finds():
    rng = np.random.default_rng(5)
    for _ in range(30):
        n = int(rng.integers(1, 6))
        ohm, limit = rng.uniform(0.01, 0.2, n), rng.uniform(500, 6_000, n)
        need = rng.uniform(0.1, 0.9) * limit.sum() * 0.9
        sent = split_transfer(need, ohm, limit, 380.0)
        loss = ohm @ (sent / 380) ** 2
        assert sent.sum() - loss == pytest.approx(need, rel=1e-9)
        best = minimize(
            lambda x, ohm=ohm: ohm @ (x / 380) ** 2,
            limit * need / limit.sum(),
            jac=lambda x, ohm=ohm: 2 * ohm * x / 380**2,
            bounds=[(0, m) for m in limit],
            constraints={
                "type": "eq",
                "fun": lambda x, ohm=ohm, need=need: x.sum() - ohm @ (x / 380) ** 2 - need,
            },
            method="SLSQP",
            options={"ftol": 1e-12, "maxiter": 500},
        )
        assert loss <= best.fun * 1.001 + 1e-9


def test_all_is_sent_when_even_that_is_too_little():
    sent = split_transfer(1e6, np.array([0.1, 0.2]), np.array([1000.0, 500.0]), 380.0)
    assert sent == pytest.approx([1000.0, 500.0])


def test_nonsense_is_refused():
    with pytest.raises(InvalidNetwork, match="cable 0 joins"):
        network([(1, 1)], [5.0])
    with pytest.raises(InvalidNetwork, match="length_m"):
        network([(0, 1)], [0.0])
    with pytest.raises(InvalidNetwork, match="bus_v"):
        network([(0, 1)], [1.0], bus_v=0.0)
    with pytest.raises(InvalidNetwork, match="ends has shape"):
        TieNetwork(2, np.zeros((1, 3), np.int64), np.ones(1), np.ones(1), np.ones(1), 380.0)
    with pytest.raises(InvalidRequest, match="a transfer of 0"):
        best_path(network([(0, 1)], [5.0]), 0, 1, 0.0)
