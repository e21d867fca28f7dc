"""What settlement costs on chain: gas per fill and reading in chunks of 100, in steady state.

Steady state: every storage slot that a chunk writes was written before, as on any day but the first. The
figures are whole transactions, intrinsic gas and calldata included, divided by what they settle.
"""

import argparse
import json
import sys
from typing import Final

from node.bench.community import CAPACITY_MILLI_WH, DEPOSIT_PICO, Community, Member
from node.chain.contracts import Contracts, compile_contracts

CHUNK: Final = 100
LANES: Final = 4
UNIT_MILLI_WH: Final = 7_000
REGISTER_MILLI_WH: Final = 1_234_567_890  # about 1.2 MWh


def _settle(
    community: Community, members: list[Member], interval: int, *, lanes: int = 1, with_readings: bool = False
) -> int:
    """Settle orders in `lanes` lanes of each member: every other one sells; return the gas."""
    sellers = (len(members) + 1) // 2
    fills = [
        community.fill(
            member,
            # so that energy sums to zero, however many are on each side
            UNIT_MILLI_WH * (sellers if row % 2 else len(members) - sellers),
            interval,
            is_buy=bool(row % 2),
            lane=lane,
            last=interval + 95,
        )
        for row, member in enumerate(members)
        for lane in range(lanes)
    ]
    readings = [
        # nobody meets his position to the unit, to one side or the other
        community.reading(
            member,
            interval,
            community.word(member).register_milli_wh + (UNIT_MILLI_WH if row % 4 < 2 else -UNIT_MILLI_WH),
        )
        for row, member in enumerate(members)
        if with_readings
    ]
    return community.settle(interval, fills, readings).gas_used


def measure(contracts: Contracts) -> dict[str, int]:
    """Return the gas of each thing that is settled, rounded up."""
    community = Community(contracts)
    community.fund_grid(1000 * DEPOSIT_PICO)
    members = [
        # half of them have sold more than they bought in their lives
        community.join(
            f"member {row}",
            capacity_milli_wh=10 * CAPACITY_MILLI_WH,
            register_milli_wh=REGISTER_MILLI_WH if row % 4 in (0, 3) else -REGISTER_MILLI_WH,
        )
        for row in range(CHUNK)
    ]
    interval = community.interval + 2
    community.pass_intervals(4)
    for passed in (interval - 1, interval):
        community.publish(passed)
    _settle(community, members, interval - 1, with_readings=True)

    fills = _settle(community.fork(), members, interval)
    readings = _settle(community.fork(), members, interval, lanes=0, with_readings=True)
    both = _settle(community.fork(), members, interval, with_readings=True)
    four = _settle(community.fork(), members[: CHUNK // LANES], interval, lanes=LANES)

    owner = members[0].owner
    community.mint(owner, 2)
    community.mint(members[1].owner, 1)
    transfer = community.token(owner, "transfer", members[1].owner.address, 1).gas_used
    return {
        "fill_gas": -(-fills // CHUNK),
        "reading_gas": -(-readings // CHUNK),
        "fill_and_reading_gas": -(-both // CHUNK),
        "four_orders_fill_gas": -(-four // CHUNK),
        "erc20_transfer_gas": transfer,
        "chunk_of_100_fills_and_readings_gas": both,
    }


def main(argv: list[str]) -> int:
    """Run the bench: `--json` prints one flat object, otherwise a table."""
    parser = argparse.ArgumentParser(prog="bench gas", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--json", action="store_true", help="one flat JSON object")
    options = parser.parse_args(argv)
    figures = measure(compile_contracts())
    if options.json:
        print(json.dumps(figures))
    else:
        for name, gas in figures.items():
            print(f"{name:<40}{gas:>12,}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
