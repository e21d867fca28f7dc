"""The swarm's bench counts what it says and checks its own sums."""

from node.bench.grid_swarm import swarm_figures


def test_it_measures_whole_responses_and_answers_alone():
    figures = swarm_figures(n_units=500, responses=3)
    assert set(figures) == {"swarm_100k_ms", "swarm_answer_100k_ms"}
    assert 0 < figures["swarm_answer_100k_ms"] < figures["swarm_100k_ms"]
