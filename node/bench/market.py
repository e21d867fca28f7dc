"""Measure the market: auctions beside numpy's floor, HiGHS and other markets, the book, and cost by size.

Every figure of one table comes from one run on one machine. The floor is one `np.bincount` with weights over a
million orders and 2,000 prices: it reads each order once and gives no order its fill. Floor and auction take
turns and the best processor time of each counts, so that other work on the machine disturbs neither much; on
a quiet machine it is the time by the wall, since all of it runs on one core. HiGHS and other markets are timed
the same way, book and door by the wall.
"""

import argparse
import json
import sys
import time
import tracemalloc
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from market import auction, network_auction
from market.book import Book
from market.network_auction_certificate import violations, welfare_pico
from market.orders import OrderArrays
from node.bench import market_report
from node.bench.highs_reference import solve
from node.bench.market_door import door_figures
from node.bench.market_instances import network_book, order_flow, plain_book
from node.bench.market_peers import INSTALL, lightmatchingengine_seconds, pymarket_seconds

N_PRICES: Final = 2_000
MILLION: Final = 10**6
CURVE: Final = (10**2, 10**3, 10**4, 10**5, 10**6)
BOOK_BATCH: Final = 10_000
INTERVAL: Final = 7
# What the project asks of itself; printed beside the figures.
BARS: Final = {
    "auction_1e6_over_bincount": "<= 3",
    "network_1e5_1e3_over_bincount": "<= 15",
    "network_1e6_1e3_over_bincount": "<= 60",
    "network_speedup_over_highs": ">= 60",
    "speedup_over_pymarket_1e4": ">= 5000",
    "book_1e6_amend_s": "<= 1",
    "door_orders_per_s": ">= 4000",
    "bytes_per_order": "<= 150",
    "auction_peak_bytes_per_order": "<= 150",
    "network_peak_bytes_per_order": "<= 150",
}
# Other markets get no larger books than they clear in some seconds.
MOST_FOR_PEER: Final = {"pymarket": 10**4, "lightmatchingengine": 10**5}
Figures = dict[str, float]
Curves = dict[str, list[tuple[int, float]]]


def main(argv: list[str]) -> int:
    """Run the benchmark; 0 unless a result is wrong."""
    parser = argparse.ArgumentParser(prog="scripts/bench market", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one flat object instead of the table")
    parser.add_argument("--peers", metavar="DIRECTORY", help=f"where other markets are installed: {INSTALL}")
    parser.add_argument("--highs-orders", type=int, default=10**5, help="largest instance given to HiGHS")
    parser.add_argument(
        "--out",
        metavar="DIR",
        help="write bench/market.json and .html there; a demo's report in DIR shows them too",
    )
    options = parser.parse_args(argv)
    if options.peers:
        sys.path.append(options.peers)
    figures: Figures = {}
    curves: Curves = {}
    measure_floor_and_auctions(figures)
    measure_highs(figures, options.highs_orders)
    measure_peers(figures)
    measure_book(figures)
    measure_door(figures)
    measure_memory(figures)
    measure_curve(figures, curves)
    if options.out:
        page = market_report.write(Path(options.out), curves, figures, BARS)
        print(f"written: {page}", file=sys.stderr)
    if options.json:
        print(json.dumps(figures))
    else:
        print_table(figures)
    return 0


def best_of(turns: int, *calls: Callable[[], object]) -> list[float]:
    """Return the best processor time of each call in seconds; the calls take turns."""
    best = [float("inf")] * len(calls)
    for call in calls:
        call()
    for _ in range(turns):
        for index, call in enumerate(calls):
            started = time.process_time()
            call()
            best[index] = min(best[index], time.process_time() - started)
    return best


def measure_floor_and_auctions(figures: Figures) -> None:
    """Auctions of a million orders, and of 100,000, in units of numpy's weighted bincount."""
    book = plain_book(MILLION, N_PRICES)
    weights = book.quantity_milli_wh.astype(np.float64)
    small, large = network_book(10**5, 1_000, 1_000), network_book(MILLION, 1_000, 1_000)
    for case in (small, large):
        require_optimal(*case)

    def floor() -> None:
        np.bincount(book.limit_micro_per_kwh, weights=weights, minlength=N_PRICES)

    pairs: dict[str, tuple[int, Callable[[], object]]] = {
        "auction_1e6": (60, lambda: auction.clear(book)),
        "auction_1e6_with_fee": (30, lambda: auction.clear(book, 10)),
        "network_1e5_1e3": (30, lambda: network_auction.clear(*small)),
        "network_1e6_1e3": (12, lambda: network_auction.clear(*large)),
    }
    for name, (turns, call) in pairs.items():
        bincount, seconds = best_of(turns, floor, call)
        figures.setdefault("bincount_1e6_s", bincount)
        figures[f"{name}_s"] = seconds
        figures[f"{name}_over_bincount"] = seconds / bincount


def require_optimal(orders: OrderArrays, node: NDArray[np.int64], tree: network_auction.MarketTree) -> None:
    """Stop the benchmark if a result is not proved optimal by its certificate."""
    wrong = violations(orders, node, tree, network_auction.clear(orders, node, tree))
    if wrong:
        raise SystemExit(f"network auction is wrong: {wrong[0]}")


def measure_highs(figures: Figures, n_orders: int) -> None:
    """Compare with HiGHS on the largest instance that it is given; both must find the same welfare."""
    case = network_book(n_orders, 1_000, 1_000, seed=1)
    (ours,) = best_of(5, lambda: network_auction.clear(*case))
    optimum = solve(*case, time_limit_s=600)
    if optimum is None:
        return
    welfare = welfare_pico(case[0], network_auction.clear(*case))
    if abs(welfare - optimum.welfare_pico) > 1e-6 * abs(welfare):
        raise SystemExit(f"HiGHS finds {optimum.welfare_pico}, the network auction {welfare}")
    figures["highs_orders"] = n_orders
    figures["highs_s"] = optimum.seconds
    figures["network_speedup_over_highs"] = optimum.seconds / ours


def measure_peers(figures: Figures) -> None:
    """Run other markets on books that they can carry; absent peers leave no figure."""
    book = plain_book(10**4, N_PRICES)
    (ours,) = best_of(50, lambda: auction.clear(book))
    figures["auction_1e4_s"] = ours
    seconds = pymarket_seconds(book)
    if seconds is not None:
        figures["pymarket_1e4_s"] = seconds
        figures["speedup_over_pymarket_1e4"] = seconds / ours
    flow = plain_book(2 * 10**4, N_PRICES)
    seconds = lightmatchingengine_seconds(flow)
    if seconds is not None:
        figures["lightmatchingengine_orders_per_s"] = len(flow) / seconds


def measure_book(figures: Figures) -> None:
    """Apply a million amends and cancels to a book of a million open orders, then clear a round.

    Memory is counted after the amends, when the book still holds the orders that they replaced.
    """
    opened, flow = order_flow(MILLION, MILLION, 0, seed=2), order_flow(MILLION, MILLION, MILLION, seed=3)
    batches = [
        {name: column[first : first + BOOK_BATCH] for name, column in flow.items()}
        for first in range(0, MILLION, BOOK_BATCH)
    ]
    tracemalloc.start()
    book = _amended(opened, batches)
    figures["bytes_per_order"] = tracemalloc.get_traced_memory()[0] / MILLION
    tracemalloc.stop()
    book = Book()
    book.submit(**opened)
    started = time.perf_counter()
    for batch in batches:
        book.submit(**batch)
    auction.clear(book.select(INTERVAL).orders)
    figures["book_1e6_amend_s"] = time.perf_counter() - started
    figures["book_orders_per_s"] = MILLION / figures["book_1e6_amend_s"]


def _amended(opened: dict[str, NDArray[Any]], batches: list[dict[str, NDArray[Any]]]) -> Book:
    book = Book()
    for batch in (opened, *batches):
        book.submit(**batch)
    return book


def measure_door(figures: Figures) -> None:
    """Hand signed orders in at the hub's door: checked, answered and durable."""
    door = door_figures()
    figures["door_orders_per_s"] = door.orders_per_s
    figures["door_orders_per_cpu_s"] = door.orders_per_cpu_s
    figures["door_signature_check_share"] = door.signature_check_share
    figures["door_receipt_signing_share"] = door.receipt_signing_share


def measure_memory(figures: Figures) -> None:
    """Measure the most that an auction allocates beyond its input, per order."""
    book, network = plain_book(MILLION, N_PRICES), network_book(MILLION, 1_000, 1_000)
    calls: dict[str, Callable[[], object]] = {
        "auction": lambda: auction.clear(book),
        "network": lambda: network_auction.clear(*network),
    }
    for name, call in calls.items():
        tracemalloc.start()
        call()
        figures[f"{name}_peak_bytes_per_order"] = tracemalloc.get_traced_memory()[1] / MILLION
        tracemalloc.stop()


def measure_curve(figures: Figures, curves: Curves) -> None:
    """Measure cost by size; a thousand nodes, or one per ten orders in smaller books."""
    peers = {"pymarket": pymarket_seconds, "lightmatchingengine": lightmatchingengine_seconds}
    for n_orders in CURVE:
        book = plain_book(n_orders, N_PRICES)
        weights = book.quantity_milli_wh.astype(np.float64)
        case = network_book(n_orders, max(2, min(1_000, n_orders // 10)), 1_000)
        turns = 30 if n_orders <= 10**4 else 7
        floor, plain, network = best_of(
            turns,
            partial(np.bincount, book.limit_micro_per_kwh, weights=weights, minlength=N_PRICES),
            partial(auction.clear, book),
            partial(network_auction.clear, *case),
        )
        points = {"bincount, the floor": floor, "auction": plain, "network auction": network}
        for name, seconds_of in peers.items():
            seconds = seconds_of(book) if n_orders <= MOST_FOR_PEER[name] else None
            if seconds is not None:
                points[name] = seconds
        for name, seconds in points.items():
            curves.setdefault(name, []).append((n_orders, seconds))
        figures[f"auction_{n_orders}_ns_per_order"] = plain / n_orders * 1e9
        figures[f"network_{n_orders}_ns_per_order"] = network / n_orders * 1e9


def print_table(figures: Figures) -> None:
    """Print the figures with what the project asks of itself."""
    print(f"{'figure':42} {'value':>14}   bar")
    for name, value in figures.items():
        print(f"{name:42} {value:14.4g}   {BARS.get(name, '')}")
    if "speedup_over_pymarket_1e4" not in figures:
        print(f"speedup_over_pymarket_1e4 needs pymarket, which is not installed; to compare: {INSTALL}")
