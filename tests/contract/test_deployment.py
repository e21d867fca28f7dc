"""Deployments: on a stock chain, verified on ours, and with exactly the parameters the contracts take."""

import json
import warnings
from dataclasses import asdict, replace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from node.bench import gas
from node.bench.community import SEED
from node.bench.evm import Evm, Reverted
from node.chain.abi import ContractError
from node.chain.contracts import (
    Contracts,
    Deployment,
    Parameters,
    Roles,
    deploy,
    events_of,
    verify,
)
from node.chain.embedded import EmbeddedChain, Genesis
from node.chain.keys import derive
from node.chain.ports import Address, Fees, Log
from node.chain.transactions import sign_transaction

START_S = 2_000_000_700
ROLE_NAMES = ("operator", "oracle", "registrar", "curtailer", "grid", "fees", "issuer")
ROLES = Roles(**{name: derive(SEED, name).address for name in ROLE_NAMES})
DEPLOYER = derive(SEED, "deployer")


def test_contracts_deploy_on_a_stock_chain_and_serve_it(contracts: Contracts) -> None:
    # eth-tester's own PyEVM backend, without anything of ours in between
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from eth_tester import EthereumTester, PyEVMBackend

        tester = EthereumTester(PyEVMBackend())
    sender = tester.get_accounts()[0]

    def transact(data: bytes, to: str = "") -> Any:
        transaction = {"from": sender, "to": to, "data": "0x" + data.hex(), "gas": 9_000_000}
        return tester.get_transaction_receipt(tester.send_transaction(transaction))

    def create(data: bytes) -> Address:
        return bytes.fromhex(transact(data)["contract_address"][2:])

    chain_id = 131_277_322_940_537  # eth-tester's
    deployed = deploy(create, chain_id, contracts, ROLES, Parameters())
    to = "0x" + deployed.settlement.hex()
    receipt = transact(contracts.settlement.encode("open_account", ROLES.grid), to)
    assert receipt["status"] == 1
    log = receipt["logs"][0]
    topics = tuple(bytes.fromhex(topic[2:]) for topic in log["topics"])
    event = contracts.settlement.event(topics, bytes.fromhex(log["data"][2:]))
    assert event is not None
    assert event.name == "AccountOpened"
    assert event.arguments == {"account": 2, "owner": bytes.fromhex(sender[2:])}
    call = {"from": sender, "to": to, "data": "0x" + contracts.settlement.encode("DOMAIN").hex()}
    assert bytes.fromhex(tester.call(call)[2:]) == deployed.domain.separator


# ---------------------------------------------------------------- verified


@pytest.fixture(scope="module")
def chain() -> EmbeddedChain:
    return EmbeddedChain(None, Genesis(1848, START_S))


@pytest.fixture(scope="module")
def deployment(chain: EmbeddedChain, contracts: Contracts) -> Deployment:
    def create(data: bytes) -> Address:
        raw, _ = sign_transaction(
            signer=DEPLOYER,
            chain_id=chain.chain_id,
            nonce=chain.nonce(DEPLOYER.address),
            to=None,
            data=data,
            gas=8_000_000,
            fees=Fees(0, 0),
        )
        sent = chain.send_raw(raw)
        chain.produce_block(chain.head().timestamp_s + 1)
        receipt = chain.receipt(sent)
        assert receipt is not None
        assert receipt.contract is not None
        return receipt.contract

    return deploy(create, chain.chain_id, contracts, ROLES, Parameters())


def test_what_was_deployed_is_verified(chain: Any, contracts: Contracts, deployment: Deployment) -> None:
    verify(chain, contracts, deployment)


def test_every_difference_from_the_address_book_is_found(
    chain: Any, contracts: Contracts, deployment: Deployment
) -> None:
    for name, value in asdict(deployment.parameters).items():
        other = value + 1
        wrong = replace(deployment, parameters=replace(deployment.parameters, **{name: other}))
        with pytest.raises(ContractError, match=rf"is {value}, not {other}"):
            verify(chain, contracts, wrong)
    for name in ("grid", "fees", "issuer"):
        wrong = replace(deployment, roles=replace(ROLES, **{name: b"x" * 20}))
        with pytest.raises(ContractError, match=r"ISSUER|owner_of"):
            verify(chain, contracts, wrong)
    with pytest.raises(ContractError, match="chain 1848"):
        verify(chain, contracts, replace(deployment, chain_id=1))
    with pytest.raises(ContractError, match=r"Settlement at .* has no code"):
        verify(chain, contracts, replace(deployment, settlement=b"x" * 20))
    with pytest.raises(ContractError, match=r"RevenueSplit at .* has other code"):
        verify(chain, contracts, replace(deployment, split=deployment.token))
    changed = replace(contracts.settlement, runtime=contracts.settlement.runtime[:-1] + b"\xff")
    with pytest.raises(ContractError, match=r"Settlement at .* has other code"):
        verify(chain, replace(contracts, settlement=changed), deployment)


def test_events_are_told_by_their_contract(contracts: Contracts, deployment: Deployment) -> None:
    transfer = next(topic for topic, entry in contracts.token._events.items() if entry["name"] == "Transfer")
    topics = (transfer, ROLES.grid.rjust(32, b"\0"), ROLES.fees.rjust(32, b"\0"))
    rest = ((9).to_bytes(32, "big"), 1, bytes(32), bytes(32), 0, 0)
    event = events_of(contracts, deployment, Log(deployment.token, topics, *rest))
    assert event is not None
    assert (event.name, event.arguments["sender"], event.arguments["value"]) == ("Transfer", ROLES.grid, 9)
    assert events_of(contracts, deployment, Log(deployment.settlement, topics, *rest)) is None
    assert events_of(contracts, deployment, Log(b"x" * 20, topics, *rest)) is None


# ---------------------------------------------------------------- parameters

AROUND = st.sampled_from([0, 1, 299, 300, 900, 3_600, 21_600, 215_999, 216_000, 217_800, 217_801, 259_200])
LARGE = st.sampled_from([604_800, 366 * 86_400, 366 * 86_400 + 1, 2**38 - 1, 2**38])


# length, notice, fill window, exit delay, role delay, fee, price cap, record for
VALUES = st.tuples(
    AROUND,
    st.sampled_from([0, 4, 192, 10_000]),
    AROUND,
    AROUND | LARGE,
    AROUND | LARGE,
    AROUND | LARGE,
    AROUND | LARGE,
    AROUND | LARGE,
)


@settings(max_examples=60, deadline=None)
@example(values=(900, 192, 21_600, 259_200, 604_800, 5_000, 4_000_000, 7_200))
@example(values=(300, 0, 300, 1_201, 1_202, 0, 0, 3_600))
@example(values=(900, 0, 215_999, 433_799, 366 * 86_400, 2**38 - 1, 2**38 - 1, 366 * 86_400))
@given(values=VALUES)
def test_parameters_are_refused_exactly_where_the_constructors_revert(
    contracts: Contracts, values: tuple[int, ...]
) -> None:
    accepted = True
    try:
        Parameters(*values)
    except ValueError:
        accepted = False
    evm = Evm(1, START_S)
    token = evm.create(DEPLOYER.address, contracts.token.creation(ROLES.issuer))
    reverted = False
    try:
        settlement = evm.create(
            DEPLOYER.address,
            contracts.settlement.creation(token, ROLES.grid, ROLES.fees, ROLES.signers, *values[:-1]),
        )
        evm.create(DEPLOYER.address, contracts.split.creation(settlement, values[-1]))
    except Reverted:
        reverted = True
    assert accepted != reverted


# ---------------------------------------------------------------- gas


def test_gas_stays_within_the_projects_bars(capsys: pytest.CaptureFixture[str]) -> None:
    assert gas.main(["--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["fill_gas"] <= 18_000
    assert figures["reading_gas"] <= 18_500
    assert figures["fill_and_reading_gas"] <= 29_000
    assert figures["four_orders_fill_gas"] <= 12_500
    assert figures["chunk_of_100_fills_and_readings_gas"] <= 10_000_000
    # about what ERC-20 transfers cost everywhere: the yardstick is in order
    assert 30_000 <= figures["erc20_transfer_gas"] <= 52_000
