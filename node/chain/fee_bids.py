"""What our transactions offer on a chain that takes fees: a first bid each, and a higher one if it waits too long.

A replacement has the nonce and the payload of what it replaces, so of all bids of a transaction one can be mined.
Every bid is stored before it is sent. Patience is counted in blocks: a chain that makes none mines no bid either.

References
----------
EIP-1559 (fees); go-ethereum and Besu replace a waiting transaction only by one that offers a tenth more of both
maximum and tip (`--txpool.pricebump`, `--tx-pool-price-bump`).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, insert, select

from node.chain.ports import Fees, Hash
from node.store.tables_chain import fee_bids

NO_FEES = Fees(0, 0)
GWEI = 10**9


@dataclass(frozen=True, slots=True)
class FeePolicy:
    """How long a bid may wait, and how much may be offered at most.

    Attributes
    ----------
    patience_blocks : int
        Blocks that may pass a waiting bid before the next.
    most_per_gas : int
        Wei; no bid offers more. A transaction whose next bid would, waits for the chain to become cheaper.
    """

    patience_blocks: int = 5
    most_per_gas: int = 500 * GWEI

    def first(self, asked: Fees) -> Fees:
        """Return the first bid, for what the chain asks now."""
        most = min(asked.max_fee_per_gas, self.most_per_gas)
        return Fees(most, min(asked.max_priority_fee_per_gas, most))

    def next(self, last: Fees, asked: Fees) -> Fees | None:
        """Return a bid an eighth above the last and not below what the chain asks; None beyond the most."""
        most = max(asked.max_fee_per_gas, _eighth_more(last.max_fee_per_gas))
        tip = max(asked.max_priority_fee_per_gas, _eighth_more(last.max_priority_fee_per_gas))
        if most > self.most_per_gas:
            most = self.most_per_gas
            if most < _eighth_more(last.max_fee_per_gas):
                return None
        return Fees(most, min(tip, most))


def _eighth_more(wei: int) -> int:
    return wei + wei // 8 + 1


def record(
    connection: Connection, outbox_id: int, raw: bytes, transaction_hash: Hash, fees: Fees, head: int
) -> None:
    """Store a bid, made at a head, as the newest of its transaction."""
    number = len(_bids(connection, [outbox_id]).get(outbox_id, ()))
    connection.execute(
        insert(fee_bids).values(
            outbox_id=outbox_id,
            number=number,
            raw=raw,
            hash=transaction_hash,
            max_fee_per_gas=fees.max_fee_per_gas,
            max_priority_fee_per_gas=fees.max_priority_fee_per_gas,
            made_at_block=head,
        )
    )


def bids_of(connection: Connection, rows: Iterable[Row[Any]]) -> dict[int, list[Row[Any]]]:
    """Return the bids of outbox rows without their bytes, the newest first; no entry where there is none."""
    return _bids(connection, [row.id for row in rows])


def _bids(connection: Connection, ids: list[int]) -> dict[int, list[Row[Any]]]:
    columns = [column for column in fee_bids.c if column.name != "raw"]
    query = select(*columns).where(fee_bids.c.outbox_id.in_(ids))
    found: dict[int, list[Row[Any]]] = {}
    for row in connection.execute(query.order_by(fee_bids.c.outbox_id, fee_bids.c.number.desc())):
        found.setdefault(row.outbox_id, []).append(row)
    return found


def raw_of_bid(connection: Connection, transaction_hash: Hash) -> bytes:
    """Return a bid's signed transaction."""
    query = select(fee_bids.c.raw).where(fee_bids.c.hash == transaction_hash)
    raw: bytes = connection.execute(query).scalar_one()
    return raw


def offered(bid: Row[Any]) -> Fees:
    """Return what a bid offers."""
    return Fees(bid.max_fee_per_gas, bid.max_priority_fee_per_gas)
