"""What an auditor of the test community holds, and how tests bend it."""

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select, text

from node.audit.bundle import Bundle, file_name
from node.audit.intervals import Auditor
from node.audit.publishing import Frame, network_of
from node.audit.record import ChainRecord
from node.community import Community
from node.store.tables_market import fills, orders


@dataclass(frozen=True, slots=True)
class Audit:
    """What an auditor holds: a replayed chain and the files; and, for the tests, the community behind them."""

    record: ChainRecord
    bundles: Path
    community: Community

    def file(self, interval: int) -> bytes:
        return (self.bundles / file_name(interval)).read_bytes()

    def check(self, interval: int, data: bytes | None) -> str | None:
        return Auditor(self.record).check(interval, data)

    @property
    def busiest(self) -> int:
        """An interval in which as much as possible happened."""
        with self.community.store.read() as connection:
            traded = connection.execute(
                text("select interval from fills group by interval order by count(*) desc, interval limit 1")
            ).scalar_one()
        return int(traded)


def replayed(community: Community) -> ChainRecord:
    record = ChainRecord(community.chain, community.contracts, community.deployment)
    record.replay()
    return record


def frame(community: Community) -> Frame:
    topology, account = community.plant.topology, community.registry.account
    known = community.registry
    network = network_of(
        topology.ids, topology.parent, account, topology.node_of_participant, known.member_of, known.sources
    )
    return Frame(community.domain, network)


def records(bundle: Bundle) -> list:
    """Return a bundle's lines without the last."""
    return [
        bundle.head,
        bundle.network,
        *bundle.tariffs,
        *bundle.orders,
        *bundle.rounds,
        *bundle.prices,
        *bundle.fills,
        *bundle.trades,
        *bundle.curtailments,
        *bundle.readings,
        *bundle.imbalances,
    ]


def one_key(audit: Audit, table, interval: int) -> list:
    """Return the primary key of one row of the interval: a filled order, the first of everything else."""
    with audit.community.store.read() as connection:
        if table is orders:
            number = connection.execute(
                select(fills.c.sequence)
                .where(fills.c.interval == interval)
                .order_by(fills.c.sequence)
                .limit(1)
            ).scalar_one()
            return [orders.c.sequence == number]
        columns_of = list(table.primary_key.columns)
        row = connection.execute(
            select(*columns_of).where(table.c.interval == interval).order_by(*columns_of).limit(1)
        ).one()
    return [column == value for column, value in zip(columns_of, row, strict=True)]
