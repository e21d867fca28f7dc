"""A small community in which every attack and every rule begins."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from eth_hash.auto import keccak

from node.bench.community import DEPOSIT_PICO, PRICE, Community, Member
from node.bench.evm import Mined, Reverted
from node.chain.abi import Contract
from node.chain.calldata import SignedFill, SignedReading
from node.chain.contracts import Contracts, Parameters
from node.chain.keys import LocalSigner, derive
from node.chain.typed_data import CompactSignature, Tariff

ZONE_PRICES = (PRICE, PRICE + 40_000)
# short delays, so that scenes which wait for them are short
PARAMETERS = Parameters(
    notice_intervals=4, fill_window_s=3_600, exit_delay_s=15 * 900, role_delay_s=20 * 900, record_for_s=3_600
)
ZONE_TARIFFS = (Tariff(300_000, 80_000), Tariff(320_000, 60_000))
BALANCE_BOUND = 2**79 - 1


class World(Community):
    """Ann and Ben in zone 0, Zoe in zone 1, Pim without money, a stranger; interval `t` has just ended."""

    hostile: Contract

    def __init__(self, contracts: Contracts, hostile: Contract, **options: Any) -> None:
        super().__init__(contracts, PARAMETERS, **options)
        self.hostile = hostile
        self.stranger = derive(7, "stranger")
        self.fund_grid(DEPOSIT_PICO)
        self.ann = self.join("ann")
        self.ben = self.join("ben")
        self.zoe = self.join("zoe", zone=1)
        self.pim = self.join("pim", deposit_pico=0)
        self.lot = self.open_account("lot")  # has no meter yet
        self.t = self.interval + 1
        self.pass_intervals(2)
        self.publish(self.t, ZONE_TARIFFS)

    # -------------------------------------------------------------- shorthands, all for interval t

    def sell(self, quantity_milli_wh: int = 1000, member: Member | None = None, **options: Any) -> SignedFill:
        """Return what a seller (Ann) sold."""
        interval = options.pop("interval", self.t)
        return self.fill(member or self.ann, quantity_milli_wh, interval, is_buy=False, **options)

    def buy(self, quantity_milli_wh: int = 1000, member: Member | None = None, **options: Any) -> SignedFill:
        """Return what a buyer (Ben) bought."""
        interval = options.pop("interval", self.t)
        return self.fill(member or self.ben, quantity_milli_wh, interval, is_buy=True, **options)

    def trade(self, quantity_milli_wh: int = 1000, **options: Any) -> list[SignedFill]:
        """Return a sale of Ann's to Ben."""
        return [self.sell(quantity_milli_wh, **options), self.buy(quantity_milli_wh, **options)]

    def do(self, *fills: SignedFill, interval: int | None = None, **options: Any) -> Mined:
        """Settle fills in a chunk with the prices of both zones."""
        options.setdefault("prices", ZONE_PRICES)
        options.setdefault("tariffs", ZONE_TARIFFS)
        return self.settle(self.t if interval is None else interval, fills, **options)

    def meter(self, member: Member, register_milli_wh: int = 0, **options: Any) -> SignedReading:
        """Return a meter's reading."""
        return self.reading(member, options.pop("interval", self.t), register_milli_wh, **options)

    def do_read(self, *readings: SignedReading, interval: int | None = None) -> Mined:
        """Bring readings in without the operator."""
        return self.read(self.t if interval is None else interval, readings, ZONE_TARIFFS)

    def held(self) -> int:
        """Return all money in balances and exits; it must be what the token says Settlement holds."""
        accounts = range(self.view("count"))
        money: int = sum(self.balance(account) + self.view("exits", account)[0] for account in accounts)
        assert money == self.token_view("balanceOf", self.deployment.settlement)
        return money

    def close_fills(self) -> None:
        """Wait until interval t cannot be filled any more."""
        self.evm.time_s = self.end_s(self.t) + self.parameters.fill_window_s

    def wait_for_substitutes(self) -> None:
        """Wait until the registrar may estimate interval t."""
        self.evm.time_s = self.end_s(self.t) + 2 * self.parameters.fill_window_s

    def next_interval(self) -> int:
        """Let the next interval end, publish its tariffs, return it."""
        self.t += 1
        self.evm.time_s = max(self.evm.time_s, self.end_s(self.t))
        self.publish(self.t, ZONE_TARIFFS)
        return self.t

    def put_into_debt(self, member: Member, shortfall_milli_wh: int = 1_000_000) -> int:
        """Let a member without money miss energy; return what he owes."""
        self.do(readings=[self.meter(member, -shortfall_milli_wh)])
        owed: int = self.view("owed", member.account)
        assert owed > 0
        return owed

    def sign_raw(self, signer: LocalSigner, kind: str, *values: int) -> CompactSignature:
        """Sign a message whose fields need not fit their EIP-712 types."""
        words = b"".join(int(value % 2**256).to_bytes(32, "big") for value in values)
        struct = keccak(keccak(kind.encode()) + words)
        return CompactSignature(*signer.sign_digest(keccak(b"\x19\x01" + self.domain.separator + struct)))

    def resigned(self, fill: SignedFill, signer: LocalSigner | None = None, **changes: Any) -> SignedFill:
        """Return a fill with its order changed; signed again only if a signer is given."""
        order = replace(fill.order, **changes)
        return SignedFill(
            order, fill.quantity_milli_wh, self.sign(signer, order) if signer else fill.signature
        )


def reason_of(act: Callable[[], object]) -> str | None:
    """Act; return None, or the reason with which the contracts refused."""
    try:
        act()
    except Reverted as refused:
        return refused.reason
    return None
