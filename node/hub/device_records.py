"""What devices and controller did in an interval, written to the store."""

import numpy as np
from sqlalchemy import Connection, insert

from node.hub.dispatch_records import IntervalOutcome
from node.scenario import Topology
from node.store.bulk import insert_columns
from node.store.tables_control import control_intervals
from node.store.tables_devices import device_intervals, incidents, loans, node_intervals, setpoints

_ENERGIES = (
    "terminal_wh",
    "source_wh",
    "sink_wh",
    "stored_delta_wh",
    "loss_wh",
    "curtailed_wh",
    "unserved_wh",
)
# Less than this is rounding of a relief that moved nothing.
LEAST_LOAN_WH = 1e-3


def record(
    connection: Connection,
    outcome: IntervalOutcome,
    topology: Topology,
    first_account: int,
) -> None:
    """Store an interval's outcome in the caller's transaction."""
    _energies(connection, outcome)
    _nodes(connection, outcome, topology)
    _setpoints(connection, outcome, topology)
    _incidents(connection, outcome)
    _loans(connection, outcome, first_account)
    _control(connection, outcome)


def _energies(connection: Connection, outcome: IntervalOutcome) -> None:
    insert_columns(
        connection,
        device_intervals,
        {
            "interval": outcome.interval,
            "device": np.arange(outcome.energy_wh.size),
            **{name: getattr(outcome.energies, name) for name in _ENERGIES},
            "energy_wh": outcome.energy_wh + outcome.fuel_wh,
        },
    )


def _nodes(connection: Connection, outcome: IntervalOutcome, topology: Topology) -> None:
    flows = outcome.nodes
    insert_columns(
        connection,
        node_intervals,
        {
            "interval": outcome.interval,
            "node": topology.ids,
            "peak_import_w": flows.peak_import_w,
            "peak_export_w": flows.peak_export_w,
            "is_import_binding": flows.is_import_binding,
            "is_export_binding": flows.is_export_binding,
        },
    )


def _setpoints(connection: Connection, outcome: IntervalOutcome, topology: Topology) -> None:
    log = outcome.setpoints
    insert_columns(
        connection,
        setpoints,
        {
            "device": log.device,
            "interval": outcome.interval,
            "at_s": log.at_s,
            "sequence": log.sequence,
            "p_w": log.p_w,
            "expires_s": log.expires_s,
            "reason": [log.reason_text(row, topology.ids) for row in range(log.device.size)],
        },
    )


def _incidents(connection: Connection, outcome: IntervalOutcome) -> None:
    rows = [
        {
            "interval": outcome.interval,
            "number": number,
            "at_s": incident.at_s,
            "kind": incident.kind.name.lower(),
            "subject": incident.subject,
        }
        for number, incident in enumerate(outcome.incidents)
    ]
    if rows:
        connection.execute(insert(incidents), rows)


def _loans(connection: Connection, outcome: IntervalOutcome, first_account: int) -> None:
    rows = [
        {
            "interval": outcome.interval,
            "account": account + first_account,
            "lent_wh": lent_wh,
            "borrowed_wh": borrowed_wh,
        }
        for account, (lent_wh, borrowed_wh) in enumerate(
            zip(outcome.lent_wh.tolist(), outcome.borrowed_wh.tolist(), strict=True)
        )
        if max(lent_wh, borrowed_wh) > LEAST_LOAN_WH
    ]
    if rows:
        connection.execute(insert(loans), rows)


def _control(connection: Connection, outcome: IntervalOutcome) -> None:
    row = {
        "interval": outcome.interval,
        "periods": outcome.n_periods,
        "coasts": outcome.n_coasts,
        "tie_switches": 0 if outcome.racks is None else outcome.racks.n_switches,
    }
    connection.execute(insert(control_intervals), row)
