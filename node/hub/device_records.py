"""What devices and controller did in an interval, written to the store."""

from sqlalchemy import Connection, insert

from node.hub.dispatch_records import IntervalOutcome
from node.scenario import Topology
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


def _energies(connection: Connection, outcome: IntervalOutcome) -> None:
    columns = {name: getattr(outcome.energies, name).tolist() for name in _ENERGIES}
    columns["energy_wh"] = outcome.energy_wh.tolist()
    connection.execute(
        insert(device_intervals),
        [
            {"interval": outcome.interval, "device": row} | dict(zip(columns, values, strict=True))
            for row, values in enumerate(zip(*columns.values(), strict=True))
        ],
    )


def _nodes(connection: Connection, outcome: IntervalOutcome, topology: Topology) -> None:
    flows = outcome.nodes
    connection.execute(
        insert(node_intervals),
        [
            {
                "interval": outcome.interval,
                "node": name,
                "peak_import_w": float(flows.peak_import_w[row]),
                "peak_export_w": float(flows.peak_export_w[row]),
                "is_import_binding": bool(flows.is_import_binding[row]),
                "is_export_binding": bool(flows.is_export_binding[row]),
            }
            for row, name in enumerate(topology.ids)
        ],
    )


def _setpoints(connection: Connection, outcome: IntervalOutcome, topology: Topology) -> None:
    log = outcome.setpoints
    rows = [
        {
            "device": int(log.device[i]),
            "interval": outcome.interval,
            "at_s": float(log.at_s[i]),
            "sequence": int(log.sequence[i]),
            "p_w": float(log.p_w[i]),
            "expires_s": float(log.expires_s[i]),
            "reason": log.reason_text(i, topology.ids),
        }
        for i in range(log.device.size)
    ]
    if rows:
        connection.execute(insert(setpoints), rows)


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
