"""The day benchmark's figures: flat, named by case, shares of the wall's time."""

import json

import pytest

from node.bench import day
from node.bench.day import CASES, ROOMS, Day, figures_of, table_of

ONE = Day(found_s=1.0, day_s=20.0, cpu_s=15.0, spent_s={"chain": 5.0, "door": 2.0})


def test_figures_are_flat_and_named_by_case() -> None:
    figures = figures_of("day_1000_nochain_s", ONE)
    assert figures["day_1000_nochain_s"] == 20.0
    assert figures["day_1000_nochain_cpu_s"] == 15.0
    assert figures["day_1000_nochain_found_s"] == 1.0
    assert figures["day_1000_nochain_chain_share"] == 0.25
    assert len(figures) == 3 + len(ROOMS)


def test_the_table_has_a_column_a_case_and_a_row_for_all_else() -> None:
    table = table_of({name: ONE for name, _, _ in CASES})
    assert [column.header for column in table.columns] == [
        "",
        "day_10",
        "day_100",
        "day_1000",
        "day_1000_nochain",
    ]
    cells = {
        label: values[0] for label, *values in zip(*(column.cells for column in table.columns), strict=True)
    }
    assert (cells["chain"], cells["door"], cells["all else"]) == ("25%", "10%", "65%")


def test_json_is_one_object_of_the_chosen_sizes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[tuple[int, bool]] = []

    def run_day(homes: int, *, is_settled: bool) -> Day:
        asked.append((homes, is_settled))
        return ONE

    monkeypatch.setattr(day, "run_day", run_day)
    assert day.main(["--json", "--homes", "1000"]) == 0
    assert asked == [(1_000, True), (1_000, False)]
    assert json.loads(capsys.readouterr().out)["day_1000_s"] == 20.0
