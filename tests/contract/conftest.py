"""Contracts compiled once; every test forks the same small community."""

from pathlib import Path

import pytest
from vyper.compiler import compile_code

from node.chain.abi import Contract
from node.chain.contracts import Contracts, compile_contracts
from tests.contract.world import World


@pytest.fixture(scope="session")
def contracts() -> Contracts:
    return compile_contracts()


@pytest.fixture(scope="session")
def first_world(contracts: Contracts) -> World:
    source = (Path(__file__).parent / "HostileToken.vy").read_text()
    compiled = compile_code(source, output_formats=["abi", "bytecode", "bytecode_runtime"])
    code = (bytes.fromhex(compiled[name].removeprefix("0x")) for name in ("bytecode", "bytecode_runtime"))
    return World(contracts, hostile=Contract("HostileToken", tuple(compiled["abi"]), *code))


@pytest.fixture
def world(first_world: World) -> World:
    return first_world.fork()
