"""Founding a community on its chain: contracts, accounts, deposits, meters. Done once, before the first order.

Everybody acts with the own key: the issuer mints against a payment reference, members open accounts, approve
and deposit, the registrar installs meters. On a chain whose blocks we make, all of a step shares a block.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from eth_hash.auto import keccak

from market.units import PICO_PER_CREDIT
from node.chain import contracts as deployment_of
from node.chain.contracts import FEES, GRID, Contracts, Deployment, Parameters, Roles
from node.chain.direct import DirectCall, produced_at, transact, transact_all
from node.chain.keys import LocalSigner, derive
from node.chain.ports import Address, ProducingChain
from node.scenario import Scenario
from node.scenario.zones import zone_of_participants

DEPLOY_GAS = 16_000_000
STEP_GAS = 400_000
# A step's block carries so many transactions at most: below a block's gas and a sender's waiting limit.
STEP_SIZE = 1_000
ROLE_NAMES = ("operator", "oracle", "registrar", "curtailer", "grid", "fees", "issuer")


@dataclass(frozen=True, slots=True)
class Keyring:
    """All keys of a simulated community, each derived from the seed; real operators bring keystores.

    `chain_id` and scenario name are part of every derivation, so two communities never share a key.
    """

    seed: int
    community: str

    def role(self, name: str) -> LocalSigner:
        """Return the key of a role."""
        return self._derive(f"role/{name}")

    def owner(self, participant: str) -> LocalSigner:
        """Return the key that owns a participant's account and money."""
        return self._derive(f"owner/{participant}")

    def agent(self, participant: str) -> LocalSigner:
        """Return the key that signs a participant's orders."""
        return self._derive(f"agent/{participant}")

    def meter(self, participant: str) -> LocalSigner:
        """Return the key inside a participant's meter."""
        return self._derive(f"meter/{participant}")

    def buyer(self) -> LocalSigner:
        """Return the key of the buyer of flexibility."""
        return self._derive("buyer")

    def _derive(self, name: str) -> LocalSigner:
        return derive(self.seed, f"{self.community}/{name}")


def parameters(scenario: Scenario) -> Parameters:
    """Return what the contracts are deployed with."""
    return Parameters(
        length_s=scenario.interval_s,
        notice_intervals=scenario.chain.notice_intervals,
        fill_window_s=scenario.chain.fill_window_s,
        exit_delay_s=scenario.chain.exit_delay_s,
        role_delay_s=scenario.chain.role_delay_s,
        fee_micro_per_kwh=scenario.market.fee_micro_per_kwh,
        price_cap_micro_per_kwh=scenario.market.price_cap_micro_per_kwh,
        record_for_s=scenario.chain.record_window_s,
    )


def found(
    chain: ProducingChain, compiled: Contracts, scenario: Scenario, keys: Keyring, at_s: int
) -> Deployment:
    """Deploy the contracts, open every participant's account in the scenario's order, and fund all.

    Accounts are numbered 2, 3, … in the order of the scenario's participants.

    Raises
    ------
    CallReverted
        With the contract's reason, if a step fails.
    """
    founder = _Founder(chain, at_s)
    roles = Roles(**{name: keys.role(name).address for name in ROLE_NAMES})
    deployment = deployment_of.deploy(
        lambda data: founder.create(keys.role("issuer"), data),
        chain.chain_id,
        compiled,
        roles,
        parameters(scenario),
    )
    _fund(founder, compiled, deployment, scenario, keys)
    deployment_of.verify(chain, compiled, deployment)
    return deployment


def _fund(
    founder: "_Founder", compiled: Contracts, deployment: Deployment, scenario: Scenario, keys: Keyring
) -> None:
    token, settlement = compiled.token, compiled.settlement
    people = scenario.participants
    owners = [keys.owner(p.id) for p in people]
    founder.run(
        [
            (owner, deployment.settlement, settlement.encode("open_account", keys.agent(p.id).address))
            for owner, p in zip(owners, people, strict=True)
        ]
    )
    supplier = keys.role("grid")
    money = [(supplier, scenario.tariff.supplier_deposit_credits * PICO_PER_CREDIT, "supplier")]
    money += [
        (owner, p.deposit_credits * PICO_PER_CREDIT, p.id) for owner, p in zip(owners, people, strict=True)
    ]
    revenue_pico = sum(event.revenue_credits for event in scenario.events) * PICO_PER_CREDIT
    grid = scenario.frequency
    by_hand_pico = 0 if grid is None else grid.budget_pico(scenario.interval_s, "both")
    revenue_pico += 0 if grid is None else grid.budget_pico(scenario.interval_s, "up")
    bought_pico = revenue_pico + by_hand_pico
    minted = [*money, (keys.buyer(), bought_pico, "flexibility")] if bought_pico else money
    issuer = keys.role("issuer")
    founder.run(
        [
            (issuer, deployment.token, token.encode("mint", who.address, amount, _reference(ref)))
            for who, amount, ref in minted
            if amount
        ]
    )
    approvals = [
        (who, deployment.token, token.encode("approve", deployment.settlement, amount))
        for who, amount, _ in money
        if amount
    ]
    for spender, amount in ((deployment.split, revenue_pico), (deployment.settlement, by_hand_pico)):
        if amount:
            approve = token.encode("approve", spender, amount)
            approvals.append((keys.buyer(), deployment.token, approve))
    founder.run(approvals)
    numbers = [GRID, *range(FEES + 1, FEES + 1 + len(people))]
    founder.run(
        [
            (who, deployment.settlement, settlement.encode("deposit", number, amount))
            for number, (who, amount, _) in zip(numbers, money, strict=True)
            if amount
        ]
    )


def install_calls(
    compiled: Contracts, deployment: Deployment, scenario: Scenario, keys: Keyring
) -> list[tuple[str, Address, bytes]]:
    """Return the registrar's calls that install every participant's meter: reference, contract, calldata.

    Meters are installed in the last interval before the first delivery, so that the first reading is the
    first delivery interval's.
    """
    zones = zone_of_participants(scenario)
    return [
        (
            f"meter/{row + 2}",
            deployment.settlement,
            compiled.settlement.encode(
                "install", row + 2, keys.meter(p.id).address, 0, zones[row], scenario.capacity_milli_wh(p)
            ),
        )
        for row, p in enumerate(scenario.participants)
    ]


def _reference(text: str) -> bytes:
    """Return the payment reference against which credits are minted."""
    return keccak(f"founding deposit/{text}".encode())


class _Founder:
    """Sends steps of transactions and sees every one of them succeed."""

    def __init__(self, chain: ProducingChain, at_s: int) -> None:
        self._chain = chain
        self._mine = produced_at(chain, lambda: at_s)

    def create(self, signer: LocalSigner, data: bytes) -> Address:
        receipt = transact(self._chain, DirectCall(signer, None, data, DEPLOY_GAS), self._mine)
        assert receipt.contract is not None
        return receipt.contract

    def run(self, calls: Sequence[tuple[LocalSigner, Address, bytes]]) -> None:
        for at in range(0, len(calls), STEP_SIZE):
            step = [DirectCall(signer, to, data, STEP_GAS) for signer, to, data in calls[at : at + STEP_SIZE]]
            transact_all(self._chain, step, self._mine)
