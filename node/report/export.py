"""Everything a run produced as CSV and JSON: the same run gives the same bytes.

One file per table, rows in the order of the primary key, integers as integers, bytes as hex, and no wall-clock
times: what differs between two runs of one seed is a defect.
"""

import csv
import json
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Table, select

from node.store import tables_chain as c
from node.store import tables_control as k
from node.store import tables_devices as d
from node.store import tables_frequency as f
from node.store import tables_islands as i
from node.store import tables_market as m
from node.store import tables_racks as r
from node.store import tables_timeslots as t
from node.store import tables_voltage as v

EXPORTED: tuple[Table, ...] = (
    m.participants,
    m.accounts,
    m.groups,
    m.orders,
    m.order_refusals,
    m.rounds,
    m.prices,
    m.fills,
    m.voided_fills,
    m.trades,
    m.tariffs,
    m.readings,
    m.substitutes,
    m.carried_readings,
    m.curtailments,
    m.voided_curtailments,
    m.imbalances,
    m.flex_events,
    m.flex_members,
    m.chunks,
    c.chain_accounts,
    d.devices,
    d.device_intervals,
    d.setpoints,
    d.nodes,
    d.node_intervals,
    d.alerts,
    d.incidents,
    d.loans,
    d.reference_intervals,
    i.island_intervals,
    i.island_services,
    i.island_samples,
    r.overloads,
    r.transfers,
    r.debts,
    t.timeslots,
    k.control_intervals,
    k.virtual_battery,
    f.frequency_intervals,
    f.frequency_members,
    f.frequency_steps,
    v.voltage_intervals,
    v.voltage_nodes,
    v.tap_changes,
    v.voltage_accounts,
)


def write_tables(connection: Connection, folder: Path) -> list[Path]:
    """Write one CSV per table into the folder, and return the files.

    Raises
    ------
    OSError
        If the folder cannot be written or the disk is full.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return [_write_table(connection, table, folder / f"{table.name}.csv") for table in EXPORTED]


def _write_table(connection: Connection, table: Table, path: Path) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(column.name for column in table.columns)
        rows = connection.execution_options(yield_per=10_000).execute(
            select(table).order_by(*table.primary_key.columns)
        )
        for row in rows:
            writer.writerow([_plain(value) for value in row])
    return path


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, bool):
        return int(value)
    return "" if value is None else value


def write_json(path: Path, content: Any) -> None:
    """Write JSON with sorted keys, so that equal contents are equal bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n")
