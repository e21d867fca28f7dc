"""Every stored round clears again to the same price and fills; a bent record is found."""

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from node.cli import app
from node.store.unit_of_work import Store


@pytest.fixture
def copied(ran, tmp_path):
    """Return a data folder with a consistent copy of the day's store."""
    (tmp_path / "state").mkdir()
    ran.community.store.backup(tmp_path / "state" / "store.sqlite")
    return tmp_path


def bend(data, statement):
    store = Store(f"sqlite:///{data / 'state' / 'store.sqlite'}")
    with store.begin() as connection:
        assert connection.execute(text(statement)).rowcount > 0
    store.close()


def test_all_rounds_of_a_day_clear_again_as_recorded(copied):
    result = CliRunner().invoke(app, ["replay", str(copied)])
    assert result.exit_code == 0
    assert "every price and fill is as recorded" in result.output


@pytest.mark.parametrize(
    "statement",
    [
        "update fills set quantity_milli_wh = quantity_milli_wh + 1 where sequence = (select min(sequence) from fills)",
        "delete from fills where sequence = (select max(sequence) from fills)",
        "update prices set price_micro_per_kwh = price_micro_per_kwh + 1 where (interval, round) = "
        "(select interval, round from rounds where volume_milli_wh > 0 limit 1)",
        "update orders set limit_micro_per_kwh = limit_micro_per_kwh - 200000 where sequence = "
        "(select sequence from fills where is_buy limit 1)",
    ],
    ids=["fill", "missing fill", "price", "order"],
)
def test_a_bent_record_is_found_and_named(copied, statement):
    bend(copied, statement)
    result = CliRunner().invoke(app, ["replay", str(copied)])
    assert result.exit_code == 3
    assert "is recorded as" in result.output


def test_a_folder_without_a_run_is_said_so(tmp_path):
    result = CliRunner().invoke(app, ["replay", str(tmp_path)])
    assert result.exit_code == 2
    assert "holds no run" in result.output
