"""What an account's imbalance of an interval cost, where its register or position turned out otherwise."""

from sqlalchemy import Connection, delete, select

from node.hub.clearing import positions_milli_wh
from node.hub.metering import curtailed_milli_wh, imbalance_rows, load_tariffs
from node.hub.registry import Registry
from node.store.bulk import insert_all
from node.store.tables_market import imbalances, readings


def reprice(
    connection: Connection, registry: Registry, account: int, interval: int, *, settled_in: int
) -> None:
    """Replace the imbalance line of a member's interval by what registers, fills and curtailments say now."""
    registers = {
        row.interval: row.register_milli_wh
        for row in connection.execute(
            select(readings.c.interval, readings.c.register_milli_wh).where(
                readings.c.account == account, readings.c.interval.in_((interval - 1, interval))
            )
        )
    }
    tariff = load_tariffs(connection, interval)[int(registry.zone[registry.row(account)])]
    connection.execute(
        delete(imbalances).where(imbalances.c.account == account, imbalances.c.interval == interval)
    )
    rows = imbalance_rows(
        interval,
        [account],
        # every register is zero before the first interval of all
        [registers[interval] - registers.get(interval - 1, 0)],
        [positions_milli_wh(connection, interval).get(account, 0)],
        [curtailed_milli_wh(connection, interval).get(account, 0)],
        [tariff],
        settled_in=settled_in,
    )
    insert_all(connection, imbalances, rows)
