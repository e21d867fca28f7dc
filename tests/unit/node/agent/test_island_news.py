"""What agents reckon with behind an open switch."""

import numpy as np

from market.network_auction_tree import MarketTree
from node.agent.island_news import IslandNews
from node.bus.messages import IslandNotice

ACCOUNTS = np.array([2, 3, 4])
TREE = MarketTree(np.array([-1, 0, 0]), np.array([90, 50, 50]), np.array([90, 40, 40]), np.array([0, 0, 0]))


class Prices:
    """A supplier with one price for all hours, and island prices if any."""

    def __init__(self, island=(600, 50)):
        self.island = island

    def prices(self, span):
        return np.full(len(span), 200), np.full(len(span), 80)

    def levies(self, span):
        return np.full(len(span), 30)


def news(island=(600, 50)):
    return IslandNews(ACCOUNTS, Prices(island), TREE, ("top", "street", "works"), 3_600)


def notice(*accounts, share=0.25):
    return IslandNotice("street", 7, 3, 1_025, accounts, tuple(share for _ in accounts))


def test_without_an_island_everything_is_the_suppliers():
    agents = news()
    short, long = agents.tariffs(10, range(10, 13))
    assert short.tolist() == [200] * 3 and long.tolist() == [80] * 3
    assert agents.tree() is TREE
    load = np.ones((3, 2))
    assert agents.served(load) is load


def test_members_reckon_with_island_prices_for_four_hours():
    agents = news()
    agents.hear(notice(2, 4))
    short, long = agents.tariffs(10, range(12, 16))
    assert short.tolist() == [[600, 600, 200, 200], [200] * 4, [600, 600, 200, 200]]
    assert long.tolist() == [[50, 50, 80, 80], [80] * 4, [50, 50, 80, 80]]


def test_members_expect_only_what_the_island_serves():
    agents = news()
    agents.hear(notice(3))
    load = agents.served(np.full((3, 6), 100.0))
    assert load[1].tolist() == [25.0] * 4 + [100.0] * 2
    assert load[0].tolist() == [100.0] * 6


def test_nothing_is_expected_to_cross_the_open_switch():
    agents = news()
    agents.hear(notice(2))
    tree = agents.tree()
    assert tree.import_cap_milli_wh.tolist() == [90, 0, 50]
    assert tree.export_cap_milli_wh.tolist() == [90, 0, 40]


def test_a_notice_without_accounts_ends_it():
    agents = news()
    agents.hear(notice(2))
    agents.hear(IslandNotice("street", 8, -1, 1_025, (), ()))
    assert agents.tree() is TREE


def test_without_island_prices_the_suppliers_go_on():
    agents = news(island=None)
    agents.hear(notice(2))
    assert agents.tariffs(10, range(10, 12))[0].tolist() == [200, 200]


def test_no_levies_are_reckoned_with_inside_an_island():
    agents = news()
    assert agents.levies(10, range(10, 12)).tolist() == [[30, 30]]
    agents.hear(notice(2, 4))
    assert agents.levies(10, range(12, 16)).tolist() == [[0, 0, 30, 30], [30] * 4, [0, 0, 30, 30]]
    without_prices = news(island=None)
    without_prices.hear(notice(2))
    assert without_prices.levies(10, range(10, 12)).tolist() == [[30, 30]]
