"""A community on an EVM in memory, with every key at hand: what contract tests and the gas bench act on."""

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any, Final

from market.orders import Order
from node.bench.evm import Evm, Mined
from node.chain import calldata, typed_data
from node.chain.calldata import ReadCall, SettleCall, SignedFill, SignedReading
from node.chain.contracts import GRID, Contracts, Deployment, Parameters, Roles, deploy
from node.chain.keys import LocalSigner, derive
from node.chain.ports import Address
from node.chain.typed_data import Curtailment, Domain, Message, Reading, Substitute, Tariff, Tariffs
from node.chain.words import NO_CARRIES, AccountWord, Carries, CarryWord, RoundWord

CHAIN_ID: Final = 31_337
START_S: Final = 2_000_000_700  # the start of a quarter hour in 2033
SEED: Final = 7
PRICE: Final = 200_000  # micro-credit per kWh
TARIFF: Final = Tariff(300_000, 80_000)
CAPACITY_MILLI_WH: Final = 10_000_000  # 10 kWh in an interval
DEPOSIT_PICO: Final = 100 * 10**12


@dataclass(frozen=True, slots=True)
class Member:
    """An account with its keys."""

    account: int
    owner: LocalSigner
    agent: LocalSigner
    meter: LocalSigner


class Community:
    """Deployed contracts, role keys, and the words to act on them."""

    def __init__(
        self,
        contracts: Contracts,
        parameters: Parameters | None = None,
        *,
        chain_id: int = CHAIN_ID,
        token_creation: bytes | None = None,
        evm: Callable[[int, int], Evm] = Evm,
    ) -> None:
        self.contracts = contracts
        self.evm = evm(chain_id, START_S)
        names = ("operator", "oracle", "registrar", "curtailer", "grid", "fees", "issuer")
        self.keys = {name: derive(SEED, name) for name in names}
        roles = Roles(**{name: key.address for name, key in self.keys.items()})
        carrier = derive(SEED, "carrier").address
        creations = 0

        def create(data: bytes) -> Address:
            nonlocal creations
            creations += 1
            is_token = creations == 1 and token_creation is not None
            return self.evm.create(carrier, token_creation if is_token and token_creation else data)

        self.deployment: Deployment = deploy(create, chain_id, contracts, roles, parameters or Parameters())
        self.parameters = self.deployment.parameters
        self.domain: Domain = self.deployment.domain
        self.carrier = carrier
        self._references = 0

    def fork(self) -> "Community":
        """Return an independent copy."""
        other = copy(self)
        other.evm = self.evm.fork()
        return other

    # -------------------------------------------------------------- time

    @property
    def interval(self) -> int:
        """The interval we are in."""
        return self.evm.time_s // self.parameters.length_s

    def end_s(self, interval: int) -> int:
        """Return the first second after an interval."""
        return (interval + 1) * self.parameters.length_s

    def pass_intervals(self, intervals: int = 1) -> None:
        """Let time pass."""
        self.evm.time_s += intervals * self.parameters.length_s

    # -------------------------------------------------------------- calls

    def send(self, sender: LocalSigner | Address, function: str, *arguments: Any) -> Mined:
        """Call a function of Settlement in a transaction."""
        data = self.contracts.settlement.encode(function, *arguments)
        return self.evm.send(_address(sender), self.deployment.settlement, data)

    def view(self, function: str, *arguments: Any) -> Any:
        """Read from Settlement."""
        contract = self.contracts.settlement
        returned = self.evm.view(self.deployment.settlement, contract.encode(function, *arguments))
        return contract.result(function, returned)

    def token(self, sender: LocalSigner | Address, function: str, *arguments: Any) -> Mined:
        """Call a function of the token in a transaction."""
        data = self.contracts.token.encode(function, *arguments)
        return self.evm.send(_address(sender), self.deployment.token, data)

    def token_view(self, function: str, *arguments: Any) -> Any:
        """Read from the token."""
        contract = self.contracts.token
        return contract.result(
            function, self.evm.view(self.deployment.token, contract.encode(function, *arguments))
        )

    def split(self, sender: LocalSigner | Address, function: str, *arguments: Any) -> Mined:
        """Call a function of RevenueSplit in a transaction."""
        data = self.contracts.split.encode(function, *arguments)
        return self.evm.send(_address(sender), self.deployment.split, data)

    def split_view(self, function: str, *arguments: Any) -> Any:
        """Read from RevenueSplit."""
        contract = self.contracts.split
        return contract.result(
            function, self.evm.view(self.deployment.split, contract.encode(function, *arguments))
        )

    # -------------------------------------------------------------- members and money

    def mint(self, to: LocalSigner, amount_pico: int) -> None:
        """Issue tokens."""
        self._references += 1
        reference = self._references.to_bytes(32, "big")
        self.token(self.keys["issuer"], "mint", to.address, amount_pico, reference)

    def deposit(self, owner: LocalSigner, account: int, amount_pico: int) -> None:
        """Issue tokens to an owner and deposit them."""
        self.mint(owner, amount_pico)
        self.token(owner, "approve", self.deployment.settlement, amount_pico)
        self.send(owner, "deposit", account, amount_pico)

    def fund_grid(self, amount_pico: int) -> None:
        """Deposit the supplier's money."""
        self.deposit(self.keys["grid"], GRID, amount_pico)

    def open_account(self, name: str) -> Member:
        """Open an account that has no meter yet."""
        owner, agent, meter = (derive(SEED, f"{part} of {name}") for part in ("owner", "agent", "meter"))
        account = self.view("count")
        self.send(owner, "open_account", agent.address)
        return Member(account, owner, agent, meter)

    def join(
        self,
        name: str,
        *,
        zone: int = 0,
        capacity_milli_wh: int = CAPACITY_MILLI_WH,
        register_milli_wh: int = 0,
        deposit_pico: int = DEPOSIT_PICO,
    ) -> Member:
        """Open an account, install its meter, deposit."""
        member = self.open_account(name)
        self.send(
            self.keys["registrar"],
            "install",
            member.account,
            member.meter.address,
            register_milli_wh,
            zone,
            capacity_milli_wh,
        )
        if deposit_pico:
            self.deposit(member.owner, member.account, deposit_pico)
        return member

    def word(self, member: Member | int) -> AccountWord:
        """Read an account's word."""
        account = member if isinstance(member, int) else member.account
        return AccountWord.unpack(self.view("accounts", account))

    def balance(self, member: Member | int) -> int:
        """Read an account's balance."""
        return self.word(member).balance_pico

    # -------------------------------------------------------------- what is signed

    def sign(self, signer: LocalSigner, message: Message) -> typed_data.CompactSignature:
        """Sign for this community."""
        return typed_data.sign(signer, self.domain, message)

    def fill(
        self,
        member: Member,
        quantity_milli_wh: int,
        interval: int,
        *,
        is_buy: bool,
        limit: int | None = None,
        lane: int = 0,
        epoch: int = 1,
        order_quantity_milli_wh: int | None = None,
        last: int | None = None,
        signer: LocalSigner | None = None,
    ) -> SignedFill:
        """Return a fill of an order signed by the member's agent; by default just what the order asks."""
        whole = quantity_milli_wh if order_quantity_milli_wh is None else order_quantity_milli_wh
        bound = self.parameters.price_cap_micro_per_kwh
        if limit is None:
            limit = bound if is_buy else -bound
        until = interval if last is None else last
        order = Order(member.account, epoch, is_buy, lane, interval, until, whole, limit)
        return SignedFill(order, quantity_milli_wh, self.sign(signer or member.agent, order))

    def reading(
        self, member: Member, interval: int, register_milli_wh: int, signer: LocalSigner | None = None
    ) -> SignedReading:
        """Return a reading signed by the member's meter."""
        message = Reading(member.account, interval, register_milli_wh)
        signature = self.sign(signer or member.meter, message)
        return SignedReading(member.account, register_milli_wh, False, signature)

    def substitute(
        self, member: Member, interval: int, register_milli_wh: int, signer: LocalSigner | None = None
    ) -> SignedReading:
        """Return a reading estimated by the registrar."""
        message = Substitute(member.account, interval, register_milli_wh)
        signature = self.sign(signer or self.keys["registrar"], message)
        return SignedReading(member.account, register_milli_wh, True, signature)

    # -------------------------------------------------------------- what is done

    def publish(self, interval: int, tariffs: Sequence[Tariff] = (TARIFF,)) -> Mined:
        """Publish the supplier's tariffs of an interval."""
        signature = self.sign(self.keys["oracle"], Tariffs(interval, tuple(tariffs)))
        return self.send(self.carrier, "publish_tariffs", interval, [tuple(t) for t in tariffs], *signature)

    def curtail(self, member: Member, interval: int, quantity_milli_wh: int) -> Mined:
        """Record what the controller took away."""
        message = Curtailment(member.account, interval, quantity_milli_wh)
        signature = self.sign(self.keys["curtailer"], message)
        return self.send(self.carrier, "curtail", member.account, interval, quantity_milli_wh, *signature)

    def carries(self, interval: int, round_: int, prices: Sequence[int]) -> Carries:
        """Return the carry words that a chunk of this round would find."""
        word = RoundWord.of(interval, round_, typed_data.prices_hash(prices)).pack()
        if self.view("round") != word:
            return NO_CARRIES
        return CarryWord.unpack(self.view("carries", 0)), CarryWord.unpack(self.view("carries", 1))

    def chunk(
        self,
        interval: int,
        fills: Sequence[SignedFill] = (),
        readings: Sequence[SignedReading] = (),
        *,
        round_: int = 0,
        prices: Sequence[int] = (PRICE,),
        tariffs: Sequence[Tariff] = (TARIFF,),
        sequence: int | None = None,
        signer: LocalSigner | None = None,
    ) -> SettleCall:
        """Seal the next chunk as the operator."""
        call, _ = calldata.seal(
            signer or self.keys["operator"],
            self.domain,
            sequence=self.view("next_seq") if sequence is None else sequence,
            interval=interval,
            round_=round_,
            prices_micro_per_kwh=prices,
            fills=fills,
            tariffs=tariffs if readings else (),
            readings=readings,
            carries=self.carries(interval, round_, prices),
        )
        return call

    def carry_in(self, call: SettleCall) -> Mined:
        """Bring a chunk to the chain, as anyone may."""
        return self.evm.send(self.carrier, self.deployment.settlement, calldata.settle_calldata(call))

    def settle(
        self,
        interval: int,
        fills: Sequence[SignedFill] = (),
        readings: Sequence[SignedReading] = (),
        **options: Any,
    ) -> Mined:
        """Seal the next chunk and bring it to the chain."""
        return self.carry_in(self.chunk(interval, fills, readings, **options))

    def read(
        self, interval: int, readings: Sequence[SignedReading], tariffs: Sequence[Tariff] = (TARIFF,)
    ) -> Mined:
        """Bring readings to the chain without the operator."""
        data = calldata.read_calldata(ReadCall(interval, tuple(tariffs), tuple(readings)))
        return self.evm.send(self.carrier, self.deployment.settlement, data)


def _address(sender: LocalSigner | Address) -> Address:
    return sender if isinstance(sender, bytes) else sender.address
