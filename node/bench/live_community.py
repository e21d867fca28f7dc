"""A community on a real chain with every key at hand: what pipeline tests and the chain bench act on."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from market.orders import Order
from node.chain import calldata, typed_data
from node.chain.calldata import SignedFill, SignedReading
from node.chain.contracts import GRID, Contracts, Deployment, Parameters, Roles, deploy
from node.chain.direct import DirectCall, produced_at, transact, transact_all
from node.chain.keys import LocalSigner, derive
from node.chain.ports import Address, ProducingChain
from node.chain.sender import ContractCall
from node.chain.typed_data import Reading, Tariff, Tariffs

OPERATOR: Final = "operator"
ROLES: Final = ("operator", "oracle", "registrar", "curtailer", "grid", "fees", "issuer")
PRICE: Final = 200_000  # micro-credit per kWh
TARIFF: Final = Tariff(300_000, 80_000)
CAPACITY_MILLI_WH: Final = 10_000_000  # 10 kWh in an interval
DEPOSIT_PICO: Final = 10**17
SETUP_GAS: Final = 500_000
# Above what 128 fills and readings take.
CHUNK_GAS: Final = 12_000_000


@dataclass(frozen=True, slots=True)
class Member:
    """An account with its keys."""

    account: int
    owner: LocalSigner
    agent: LocalSigner
    meter: LocalSigner


class LiveCommunity:
    """Contracts and members on a chain whose blocks we make, one second apart while setting up.

    Parameters
    ----------
    deployer : str
        Name of the key that deploys; not the operator's, whose nonces belong to the outbox.
    resumed : tuple[Deployment, int] or None
        Deployment and first interval of a community that is on this chain already.
    """

    def __init__(
        self,
        chain: ProducingChain,
        contracts: Contracts,
        n_members: int,
        *,
        seed: int = 7,
        parameters: Parameters | None = None,
        deployer: str = "deployer",
        resumed: tuple[Deployment, int] | None = None,
    ) -> None:
        self.chain = chain
        self.contracts = contracts
        self.keys = {name: derive(seed, name) for name in (*ROLES, deployer)}
        self.mine = produced_at(chain, lambda: 0)
        roles = Roles(**{name: self.keys[name].address for name in ROLES})

        def create(data: bytes) -> Address:
            call = DirectCall(self.keys[deployer], None, data, CHUNK_GAS)
            contract = transact(chain, call, self.mine).contract
            assert contract is not None
            return contract

        self.members = [
            Member(i + 2, *(derive(seed, f"{part} of {i}") for part in ("owner", "agent", "meter")))
            for i in range(n_members)
        ]
        if resumed is None:
            self.deployment = deploy(create, chain.chain_id, contracts, roles, parameters or Parameters())
            self.length_s = self.deployment.parameters.length_s
            self._join()
            self.first = chain.head().timestamp_s // self.length_s + 1
        else:
            self.deployment, self.first = resumed
            self.length_s = self.deployment.parameters.length_s

    def _join(self) -> None:
        settlement, token = self.contracts.settlement, self.contracts.token
        where, issuer = self.deployment.settlement, self.keys["issuer"]
        calls = []
        for number, owner in [(GRID, self.keys["grid"]), *((m.account, m.owner) for m in self.members)]:
            reference = number.to_bytes(32, "big")
            mint = token.encode("mint", owner.address, DEPOSIT_PICO, reference)
            calls.append(self._call(issuer, self.deployment.token, mint))
            approve = token.encode("approve", where, DEPOSIT_PICO)
            calls.append(self._call(owner, self.deployment.token, approve))
        for m in self.members:
            calls.append(self._call(m.owner, where, settlement.encode("open_account", m.agent.address)))
            install = settlement.encode("install", m.account, m.meter.address, 0, 0, CAPACITY_MILLI_WH)
            calls.append(self._call(self.keys["registrar"], where, install))
            deposit = settlement.encode("deposit", m.account, DEPOSIT_PICO)
            calls.append(self._call(m.owner, where, deposit))
        fund = settlement.encode("deposit", GRID, DEPOSIT_PICO)
        calls.append(self._call(self.keys["grid"], where, fund))
        transact_all(self.chain, calls, self.mine)

    @staticmethod
    def _call(signer: LocalSigner, to: Address, data: bytes) -> DirectCall:
        return DirectCall(signer, to, data, SETUP_GAS)

    def end_s(self, interval: int) -> int:
        """Return the first second after an interval."""
        return (interval + 1) * self.length_s

    def send(self, signer: LocalSigner, function: str, *arguments: Any) -> None:
        """Call Settlement in a block of its own.

        Raises
        ------
        CallReverted
            With the contract's reason.
        """
        data = self.contracts.settlement.encode(function, *arguments)
        transact(self.chain, self._call(signer, self.deployment.settlement, data), self.mine)

    def tariffs(self, interval: int) -> ContractCall:
        """Return the publication of an interval's tariffs."""
        signed = typed_data.sign(self.keys["oracle"], self.deployment.domain, Tariffs(interval, (TARIFF,)))
        data = self.contracts.settlement.encode("publish_tariffs", interval, [tuple(TARIFF)], *signed)
        return ContractCall("tariffs", str(interval), OPERATOR, self.deployment.settlement, data)

    def chunk(
        self,
        sequence: int,
        interval: int,
        fills: Sequence[SignedFill],
        readings: Sequence[SignedReading],
        round_: int = 0,
    ) -> ContractCall:
        """Return a chunk with the operator's seal; no order in it may go on from the chunk before."""
        call, _ = calldata.seal(
            self.keys[OPERATOR],
            self.deployment.domain,
            sequence=sequence,
            interval=interval,
            round_=round_,
            prices_micro_per_kwh=(PRICE,),
            fills=fills,
            tariffs=(TARIFF,) if readings else (),
            readings=readings,
        )
        where, data = self.deployment.settlement, calldata.settle_calldata(call)
        return ContractCall("chunk", str(sequence), OPERATOR, where, data, CHUNK_GAS)

    def fill(self, member: Member, interval: int, quantity_milli_wh: int, *, is_buy: bool) -> SignedFill:
        """Return a fill of a whole order signed by the member's agent."""
        limit = 4_000_000 if is_buy else -4_000_000
        order = Order(member.account, 1, is_buy, 0, interval, interval, quantity_milli_wh, limit)
        signature = typed_data.sign(member.agent, self.deployment.domain, order)
        return SignedFill(order, quantity_milli_wh, signature)

    def reading(self, member: Member, interval: int, register_milli_wh: int) -> SignedReading:
        """Return a reading signed by the member's meter."""
        message = Reading(member.account, interval, register_milli_wh)
        signature = typed_data.sign(member.meter, self.deployment.domain, message)
        return SignedReading(member.account, register_milli_wh, False, signature)

    def fills(self, interval: int) -> list[SignedFill]:
        """Return fills in which every second member sells 400 Wh and the others buy it."""
        return [
            self.fill(member, interval, 400_000, is_buy=i % 2 == 0) for i, member in enumerate(self.members)
        ]

    def readings(self, interval: int) -> list[SignedReading]:
        """Return readings of everyone, each 1 Wh short of those fills."""
        passed = interval - self.first + 1
        return [
            self.reading(member, interval, passed * (-401_000 if i % 2 == 0 else 399_000))
            for i, member in enumerate(self.members)
        ]

    def whole_interval(self, sequence: int, interval: int) -> list[ContractCall]:
        """Return an interval's tariffs and one chunk with its fills and readings."""
        chunk = self.chunk(sequence, interval, self.fills(interval), self.readings(interval))
        return [self.tariffs(interval), chunk]
