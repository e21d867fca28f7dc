"""Fills that did not reach the chain in time: how much of the market's result is void, and in which intervals."""

from dataclasses import dataclass

from sqlalchemy import Connection, select

from node.store.tables_market import voided_fills


@dataclass(frozen=True, slots=True)
class VoidFills:
    """What of a span's fills is void.

    Parameters
    ----------
    fills : their number
    bought_milli_wh : energy that buyers did not get, and sellers did not sell
    first, last : the intervals between which they lie
    """

    fills: int
    bought_milli_wh: int
    first: int
    last: int

    def in_words(self) -> str:
        """Return what happened, for people."""
        return (
            f"{self.fills} fills, {self.bought_milli_wh / 1e6:.2f} kWh, did not reach the chain within its fill "
            "window; settled with the supplier instead"
        )


def void_fills(connection: Connection, span: range) -> VoidFills | None:
    """Return what is void of a span; None, as nearly always, if nothing is."""
    rows = connection.execute(
        select(voided_fills).where(voided_fills.c.interval >= span.start, voided_fills.c.interval < span.stop)
    ).all()
    if not rows:
        return None
    intervals = [row.interval for row in rows]
    bought = sum(row.quantity_milli_wh for row in rows if row.is_buy)
    return VoidFills(len(rows), bought, min(intervals), max(intervals))
