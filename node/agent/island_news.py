"""What agents behind an open switch reckon with: whom the island serves, at which prices, and no trade across it."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from market.network_auction_tree import MarketTree
from node.bus.messages import IslandNotice, Message
from node.world.supplier import Supplier

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

# Nobody knows when the supply comes back: agents reckon with an island as it is for so many hours.
BELIEVED_S = 4 * 3_600


class IslandNews:
    """The newest notice of each island.

    Parameters
    ----------
    account : int64 (n_accounts,)
        Numbers of the accounts by row, rising.
    tree : MarketTree or None
        Price zones; `names` are the nodes they belong to.
    """

    def __init__(
        self,
        account: IntArray,
        supplier: Supplier,
        tree: MarketTree | None,
        names: tuple[str, ...],
        interval_s: int,
    ) -> None:
        self._account = account
        self._supplier = supplier
        self._tree = tree
        self._names = names
        self._n_believed = max(BELIEVED_S // interval_s, 1)
        self._notices: dict[str, IslandNotice] = {}

    def hear(self, message: Message) -> None:
        """Take over what a leader tells; a notice without accounts ends its island."""
        assert isinstance(message, IslandNotice)
        if message.account:
            self._notices[message.node] = message
        else:
            self._notices.pop(message.node, None)

    def served(self, load_w: FloatArray) -> FloatArray:
        """Return the part of expected loads that will be served, `(n_accounts, n_intervals)`, from now on."""
        if not self._notices:
            return load_w
        expected = load_w.copy()
        for notice in self._notices.values():
            rows = np.searchsorted(self._account, notice.account)
            expected[rows, : self._n_believed] *= np.array(notice.served_pu)[:, None]
        return expected

    def tariffs(self, at: int, span: range) -> tuple[IntArray, IntArray]:
        """Return short and long price, `(n_intervals,)`, or by account too where somebody is in an island."""
        short, long = self._supplier.prices(span)
        island = self._supplier.island
        if not self._notices or island is None:
            return short, long
        by_account = [np.tile(one, (self._account.size, 1)) for one in (short, long)]
        is_believed = np.arange(span.start, span.stop) < at + self._n_believed
        for notice in self._notices.values():
            rows = np.searchsorted(self._account, notice.account)
            for prices, price in zip(by_account, island, strict=True):
                prices[np.ix_(rows, is_believed)] = price
        return by_account[0], by_account[1]

    def levies(self, at: int, span: range) -> IntArray:
        """Return what is due on metered import, `(1, n_intervals)`, or by account: nothing inside an island."""
        levy = self._supplier.levies(span)[None, :]
        if not self._notices or self._supplier.island is None:
            return levy
        by_account = np.tile(levy, (self._account.size, 1))
        is_believed = np.arange(span.start, span.stop) < at + self._n_believed
        for notice in self._notices.values():
            by_account[np.ix_(np.searchsorted(self._account, notice.account), is_believed)] = 0
        return by_account

    def tree(self) -> MarketTree | None:
        """Return the price zones with nothing flowing to and from islands."""
        if self._tree is None or not self._notices:
            return self._tree
        is_open = np.array([self._names[zone] not in self._notices for zone in range(self._tree.n_nodes)])
        return replace(
            self._tree,
            import_cap_milli_wh=self._tree.import_cap_milli_wh * is_open,
            export_cap_milli_wh=self._tree.export_cap_milli_wh * is_open,
        )
