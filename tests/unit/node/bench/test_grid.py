"""The benchmark of grid services measures what it says: small sizes, every figure above zero."""

import json

from node.bench import grid


def test_each_figure_is_measured(monkeypatch, capsys):
    monkeypatch.setattr(grid, "swarm_figures", lambda: {"swarm_100k_ms": 1.0})
    monkeypatch.setattr(grid, "ELECTIONS_S", 5.0)
    assert grid.main(["--json", "--minutes", "0.05"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert set(figures) == {"swarm_100k_ms", "election_messages_per_s", "island_realtime_factor"}
    assert min(figures.values()) > 0


def test_the_street_has_a_hundred_devices_of_which_a_battery_forms_the_island():
    _, params = grid.street()
    assert params.n_devices == 100
    assert params.is_storage.sum() == 12
