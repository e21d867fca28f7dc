"""Store or chain restored from an older copy: rebuilt from the other, or halted with what is missing; never twice."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from node.chain.outbox import SettlementHalted
from node.community import Community
from node.store.tables_chain import chain_accounts, chain_events, outbox
from node.store.tables_market import chunks

STATE = "state"


def restore(copy: Path, target: Path) -> None:
    """Put a copy in the place of a database."""
    for suffix in ("-wal", "-shm"):
        target.with_name(target.name + suffix).unlink(missing_ok=True)
    shutil.copy(copy, target)


def accounts(community: Community) -> list[Any]:
    columns = [column for column in chain_accounts.c if column.name != "block_number"]
    with community.store.read() as connection:
        return list(connection.execute(select(*columns).order_by(chain_accounts.c.account)))


def test_a_store_older_than_its_chain_is_told_which_intervals_it_lacks(corner, tmp_path):
    data = tmp_path / "data"
    first = corner(data, stop=3)
    first.store.backup(tmp_path / "old.sqlite")
    begin = first.scenario.delivery_intervals().start
    first.close()
    corner(data, stop=6).close()
    restore(tmp_path / "old.sqlite", data / STATE / "store.sqlite")
    with pytest.raises(
        SettlementHalted, match=rf"older than the chain: .*of intervals {begin + 3} to {begin + 5}"
    ):
        corner(data)


def test_a_chain_older_than_its_store_gets_what_it_lacks_and_every_account_is_the_same(corner, ran, tmp_path):
    data = tmp_path / "data"
    first = corner(data, stop=14)
    first.chain.backup(tmp_path / "old.sqlite")
    first.close()
    corner(data, stop=16).close()
    restore(tmp_path / "old.sqlite", data / STATE / "chain.sqlite")
    again = corner(data)
    assert accounts(again) == accounts(ran.community)
    with again.store.read() as connection:
        planned = connection.execute(select(func.count()).select_from(chunks)).scalar_one()
        settled = select(func.count()).where(chain_events.c.name == "ChunkSettled")
        assert connection.execute(settled).scalar_one() == planned
        assert set(connection.execute(select(outbox.c.state)).scalars()) == {"final"}
