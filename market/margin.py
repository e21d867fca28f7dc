"""Margin: the most an account could still have to pay, so that the door lets in only what will settle.

An account is exposed in every interval from the first unread one to the newest in which it has an order or a
fill on its way: its orders may be filled or not, wholly or in part, and its meter may show anything that the
connection can carry. If the balance covers the worst of all that, then on chain no fill meets `funds` or
`in debt` and no reading leaves a debt, whatever the sequence and whatever others do.

Notes
-----
Per interval, with capacity C, position P already booked on chain, s = max(short, 0), d = max(-long, 0), a buy
of q at the all-in limit b and a sell of q at the all-in limit a, the worst case is

    max( s (C + P) + sum q max(b - s, 0) + sum q max(s - a, 0),        the meter imports all it can
         d (C - P) + sum q max(b + d, 0) + sum q max(-a - d, 0) )      the meter exports all it can

because the price of an imbalance is convex in what the meter shows (so one of its two ends is worst) and every
order enters linearly (so it is worst filled wholly or not at all). What comes in is counted only where it
comes in before what it pays for: a sell fills before its interval is read. A buy at no more than the short
tariff adds nothing: without it the same energy would be imbalance, at that tariff.

That the fills of an interval never need more than this *before* it is read rests on the second rule of the
door: open buys fit between the position and -C, open sells between it and C (`capacity`).

An exit leaves the balance at once, and is not counted here; it still answers for every order let in before it
was requested, because orders reach no further ahead than the contract's notice.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from market.chunks import Tariff
from market.errors import OrderRefused, RefusalReason
from market.orders import Order


class Sides(NamedTuple):
    """What an order adds to the two worst cases of an interval, and its energy by direction."""

    importing_pico: int
    exporting_pico: int
    buy_milli_wh: int
    sell_milli_wh: int


def order_exposure(is_buy: bool, quantity_milli_wh: int, all_in_micro_per_kwh: int, tariff: Tariff) -> Sides:
    """Return what an open order (at its limit) or a fill on its way (at its price with the fee) may cost.

    `tariff` is the highest short and the lowest long that may be published for the interval.
    """
    short, dump = max(tariff.short_micro_per_kwh, 0), max(-tariff.long_micro_per_kwh, 0)
    return _sides(is_buy, quantity_milli_wh, all_in_micro_per_kwh, short, dump)


def _sides(is_buy: bool, q: int, limit: int, short: int, dump: int) -> Sides:
    if is_buy:
        over, under = limit - short, limit + dump
        return Sides(q * over if over > 0 else 0, q * under if under > 0 else 0, q, 0)
    over, under = short - limit, -limit - dump
    return Sides(q * over if over > 0 else 0, q * under if under > 0 else 0, 0, q)


def interval_exposure_pico(
    capacity_milli_wh: int, position_milli_wh: int, importing_pico: int, exporting_pico: int, tariff: Tariff
) -> int:
    """Return the most that one unread interval can still cost, orders and reading together."""
    short, dump = max(tariff.short_micro_per_kwh, 0), max(-tariff.long_micro_per_kwh, 0)
    return max(
        short * (capacity_milli_wh + position_milli_wh) + importing_pico,
        dump * (capacity_milli_wh - position_milli_wh) + exporting_pico,
    )


def worst_case_exposure_pico(
    capacity_milli_wh: int,
    positions_milli_wh: Sequence[int],
    tariffs: Sequence[Tariff],
    orders: Sequence[Sequence[Sides]],
) -> int:
    """Return the most an account could have to pay over consecutive unread intervals, `(n_intervals,)` each.

    The form to check `AccountExposure` against, and for an auditor: nothing is kept between calls.
    """
    return sum(
        interval_exposure_pico(
            capacity_milli_wh, position, sum(o[0] for o in sides), sum(o[1] for o in sides), tariff
        )
        for position, tariff, sides in zip(positions_milli_wh, tariffs, orders, strict=True)
    )


class _Interval:
    """One unread interval of an account: open orders by lane, fills on their way, booked position."""

    __slots__ = (
        "buy_milli_wh",
        "dump",
        "exporting_pico",
        "importing_pico",
        "open",
        "position_milli_wh",
        "sell_milli_wh",
        "short",
        "worst_pico",
    )

    def __init__(self, capacity_milli_wh: int, tariff: Tariff) -> None:
        self.short = max(tariff.short_micro_per_kwh, 0)
        self.dump = max(-tariff.long_micro_per_kwh, 0)
        self.position_milli_wh = 0
        self.open: dict[int, Sides] = {}
        # sums over open orders and fills on their way
        self.importing_pico = self.exporting_pico = self.buy_milli_wh = self.sell_milli_wh = 0
        self.worst_pico = max(self.short, self.dump) * capacity_milli_wh

    def copy(self) -> "_Interval":
        twin = _Interval.__new__(_Interval)
        for name in _Interval.__slots__:
            setattr(twin, name, getattr(self, name))
        twin.open = dict(self.open)
        return twin

    def sides(self, is_buy: bool, quantity_milli_wh: int, all_in_micro_per_kwh: int) -> Sides:
        return _sides(is_buy, quantity_milli_wh, all_in_micro_per_kwh, self.short, self.dump)

    def add(self, sides: Sides) -> None:
        importing_pico, exporting_pico, buy_milli_wh, sell_milli_wh = sides
        self.importing_pico += importing_pico
        self.exporting_pico += exporting_pico
        self.buy_milli_wh += buy_milli_wh
        self.sell_milli_wh += sell_milli_wh

    def remove(self, sides: Sides) -> None:
        importing_pico, exporting_pico, buy_milli_wh, sell_milli_wh = sides
        self.importing_pico -= importing_pico
        self.exporting_pico -= exporting_pico
        self.buy_milli_wh -= buy_milli_wh
        self.sell_milli_wh -= sell_milli_wh

    def is_idle(self) -> bool:
        return not (self.buy_milli_wh or self.sell_milli_wh or self.position_milli_wh)


class AccountExposure:
    """The exposure of one account, kept up to date order by order.

    Parameters
    ----------
    capacity_milli_wh : int
        What the connection carries in one interval, either way.
    read : int
        Newest interval that is read on chain.
    tariff_of : Callable[[int], Tariff]
        The highest short and lowest long tariff that may be published for an interval, in the account's zone.
    """

    __slots__ = ("_capacity", "_intervals", "_newest", "_read", "_tariff_of", "exposure_pico")

    def __init__(self, capacity_milli_wh: int, read: int, tariff_of: Callable[[int], Tariff]) -> None:
        self._capacity = capacity_milli_wh
        self._read = read
        self._tariff_of = tariff_of
        # every interval from read + 1 to the newest with an order or fill, in order
        self._intervals: dict[int, _Interval] = {}
        self._newest = read
        self.exposure_pico = 0

    def covers(self, interval: int) -> bool:
        """Tell whether the reading of this interval is within the margin: it is, up to the newest order."""
        return interval <= self._newest

    def copy(self) -> "AccountExposure":
        """Return an independent copy."""
        twin = AccountExposure(self._capacity, self._read, self._tariff_of)
        twin._newest, twin.exposure_pico = self._newest, self.exposure_pico
        twin._intervals = {t: known.copy() for t, known in self._intervals.items()}
        return twin

    def admit(self, order: Order, balance_pico: int, *, in_debt: bool = False) -> list[Sides | None]:
        """Let an order in: it replaces the lane's open order in each of its intervals.

        Returns what stood there before, for `undo`.

        Parameters
        ----------
        order : Order
            Checked before: its fields, signature, gate, and that its lanes took part in no round yet.
        balance_pico : int
            The account's balance on chain; what is on its way out is not part of it.
        in_debt : bool
            Whether the account owes the grid account.

        Raises
        ------
        OrderRefused
            `IN_DEBT`, `VALIDITY` (an interval is read already), `CAPACITY` or `MARGIN`; nothing is changed.
        """
        if in_debt and order.quantity_milli_wh:
            raise OrderRefused(RefusalReason.IN_DEBT, f"account {order.account} owes the grid account")
        if order.first <= self._read:
            raise OrderRefused(
                RefusalReason.VALIDITY, f"interval {order.first} is settled, the newest is {self._read}"
            )
        before = self._swap(order, None)
        refusal = self._refusal(order, balance_pico)
        if refusal is not None:
            self._swap(order, before)
            raise refusal
        return before

    def undo(self, order: Order, before: list[Sides | None]) -> None:
        """Take back the newest order let in, because it did not become durable."""
        self._swap(order, before)

    def close_round(self, interval: int, fills: Sequence[tuple[bool, int, int]]) -> None:
        """Close an interval's open orders after a round; what was filled is on its way.

        Parameters
        ----------
        interval : int
            The interval that was cleared.
        fills : Sequence[tuple[bool, int, int]]
            Per fill: is it a buy, quantity in mWh, price with the fee in micro-credit per kWh.
        """
        known = self._intervals.get(interval)
        if known is None:
            return
        for sides in known.open.values():
            known.remove(sides)
        known.open.clear()
        for fill in fills:
            known.add(known.sides(*fill))
        self._update(known)
        self._forget_idle_end()

    def book(self, interval: int, is_buy: bool, quantity_milli_wh: int, all_in_micro_per_kwh: int) -> None:
        """Note that a fill, or a piece of it, was settled: it moved the balance and is part of the position."""
        known = self._intervals[interval]
        known.remove(known.sides(is_buy, quantity_milli_wh, all_in_micro_per_kwh))
        known.position_milli_wh += -quantity_milli_wh if is_buy else quantity_milli_wh
        self._update(known)
        self._forget_idle_end()

    def set_position(self, interval: int, position_milli_wh: int) -> None:
        """Take over a position that the chain has booked already: after a start from stored state."""
        self._reach(interval)
        known = self._intervals[interval]
        known.position_milli_wh = position_milli_wh
        self._update(known)
        self._forget_idle_end()

    def add_fill(
        self, interval: int, is_buy: bool, quantity_milli_wh: int, all_in_micro_per_kwh: int
    ) -> None:
        """Take over a fill that is on its way already: after a start from stored state."""
        self._reach(interval)
        known = self._intervals[interval]
        known.add(known.sides(is_buy, quantity_milli_wh, all_in_micro_per_kwh))
        self._update(known)

    def read(self, interval: int) -> None:
        """Note that an interval was read on chain: it can cost nothing more, and no older one either."""
        for t in range(self._read + 1, interval + 1):
            known = self._intervals.pop(t, None)
            if known is not None:
                self.exposure_pico -= known.worst_pico
        self._read = max(self._read, interval)
        self._newest = max(self._newest, self._read)

    def raise_capacity(self, capacity_milli_wh: int) -> None:
        """Note that the connection carries more."""
        self._capacity = capacity_milli_wh
        for known in self._intervals.values():
            self._update(known)

    def _swap(self, order: Order, instead: list[Sides | None] | None) -> list[Sides | None]:
        """Put an order into its cells, or what was there before; return what is replaced."""
        before: list[Sides | None] = []
        quantity = order.quantity_milli_wh
        if (quantity and instead is None) or (instead is not None and any(instead)):
            self._reach(order.last)
        lane = order.lane
        for n, t in enumerate(range(order.first, order.last + 1)):
            known = self._intervals.get(t)
            if known is None:
                before.append(None)
                continue
            old = known.open.pop(lane, None)
            before.append(old)
            if old is not None:
                known.remove(old)
            sides: Sides | None = None
            if instead is not None:
                sides = instead[n]
            elif quantity:
                sides = known.sides(order.is_buy, quantity, order.limit_micro_per_kwh)
            if sides is not None:
                known.open[lane] = sides
                known.add(sides)
            self._update(known)
        if instead is not None or not quantity:
            self._forget_idle_end()
        return before

    def _refusal(self, order: Order, balance_pico: int) -> OrderRefused | None:
        """Say what speaks against an order that is in its cells; nothing speaks against a cancel."""
        if not order.quantity_milli_wh:
            return None
        for t in range(order.first, order.last + 1):
            known = self._intervals[t]
            position = known.position_milli_wh
            if max(known.sell_milli_wh + position, known.buy_milli_wh - position) > self._capacity:
                return OrderRefused(
                    RefusalReason.CAPACITY,
                    f"interval {t}: {known.sell_milli_wh} mWh to sell, {known.buy_milli_wh} to buy, "
                    f"position {position}: the connection carries {self._capacity}",
                )
        if self.exposure_pico > balance_pico:
            return OrderRefused(
                RefusalReason.MARGIN,
                f"up to interval {self._newest} it could cost {self.exposure_pico} pico-credit, "
                f"the balance is {balance_pico}",
            )
        return None

    def _reach(self, newest: int) -> None:
        """Count the readings of every interval up to this one: they come before its own fills or after."""
        for t in range(self._newest + 1, newest + 1):
            known = self._intervals[t] = _Interval(self._capacity, self._tariff_of(t))
            self.exposure_pico += known.worst_pico
        self._newest = max(self._newest, newest)

    def _forget_idle_end(self) -> None:
        """Stop counting intervals after the newest with an order, a fill on its way or a position."""
        while self._newest > self._read and self._intervals[self._newest].is_idle():
            self.exposure_pico -= self._intervals.pop(self._newest).worst_pico
            self._newest -= 1

    def _update(self, known: _Interval) -> None:
        importing_pico = known.short * (self._capacity + known.position_milli_wh) + known.importing_pico
        exporting_pico = known.dump * (self._capacity - known.position_milli_wh) + known.exporting_pico
        worst_pico = importing_pico if importing_pico > exporting_pico else exporting_pico
        self.exposure_pico += worst_pico - known.worst_pico
        known.worst_pico = worst_pico
