"""Fills and curtailments that did not reach the chain in time: how much is void, and in which intervals."""

from dataclasses import dataclass

from sqlalchemy import Connection, select

from node.store.tables_market import voided_curtailments, voided_fills


@dataclass(frozen=True, slots=True)
class VoidFills:
    """What of a span's fills is void.

    Parameters
    ----------
    fills : their number
    bought_milli_wh : energy that buyers did not get, and sellers did not sell
    curtailments : those whose interval was read before
    first, last : the intervals between which they lie
    """

    fills: int
    bought_milli_wh: int
    curtailments: int
    first: int
    last: int

    def in_words(self) -> str:
        """Return what happened, for people."""
        told = []
        if self.fills:
            told.append(
                f"{self.fills} fills, {self.bought_milli_wh / 1e6:.2f} kWh, did not reach the chain within its "
                "fill window; settled with the supplier instead"
            )
        if self.curtailments:
            told.append(f"{self.curtailments} curtailments came after the reading; nothing was forgiven")
        return "; ".join(told)


def void_fills(connection: Connection, span: range) -> VoidFills | None:
    """Return what is void of a span; None, as nearly always, if nothing is."""
    rows, curtailed = (
        connection.execute(
            select(table).where(table.c.interval >= span.start, table.c.interval < span.stop)
        ).all()
        for table in (voided_fills, voided_curtailments)
    )
    intervals = [row.interval for row in (*rows, *curtailed)]
    if not intervals:
        return None
    bought = sum(row.quantity_milli_wh for row in rows if row.is_buy)
    return VoidFills(len(rows), bought, len(curtailed), min(intervals), max(intervals))
