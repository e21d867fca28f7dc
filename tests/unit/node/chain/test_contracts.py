"""Compiling, parameters, the address book, and the ABI in both directions."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest

from node.chain.abi import ContractError
from node.chain.contracts import (
    MAX_RUNTIME,
    SOURCES,
    Contracts,
    Deployment,
    Parameters,
    Roles,
    compile_contracts,
    load_address_book,
    save_address_book,
    source_hash,
)
from node.chain.keys import derive
from node.chain.typed_data import Domain

NAMES = ("operator", "oracle", "registrar", "curtailer", "grid", "fees", "issuer")
ROLES = Roles(**{name: derive(1, name).address for name in NAMES})
DEPLOYMENT = Deployment(1848, b"t" * 20, b"s" * 20, b"r" * 20, ROLES, Parameters())


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("contracts") / "not made yet"


@pytest.fixture(scope="module")
def contracts(cache: Path) -> Contracts:
    return compile_contracts(cache)


def test_contracts_fit_a_chains_limit_of_code(contracts: Contracts) -> None:
    for contract in (contracts.token, contracts.settlement, contracts.split):
        assert 0 < len(contract.runtime) <= MAX_RUNTIME - 1_024


def test_a_second_compilation_is_read_from_the_cache(cache: Path, contracts: Contracts) -> None:
    (kept,) = cache.iterdir()
    before = kept.stat().st_mtime_ns
    assert compile_contracts(cache) == contracts
    assert kept.stat().st_mtime_ns == before


def test_a_changed_source_is_another_compilation(tmp_path: Path) -> None:
    copytree(SOURCES, tmp_path / "contracts")
    assert source_hash(tmp_path / "contracts") == source_hash()
    with (tmp_path / "contracts" / "ledger.vy").open("a") as file:
        file.write("\n")
    assert source_hash(tmp_path / "contracts") != source_hash()


def test_a_missing_source_is_named(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=r"CreditToken\.vy: No such file"):
        compile_contracts(sources=tmp_path)


def test_arguments_and_results_are_encoded_and_decoded(contracts: Contracts) -> None:
    token, settlement = contracts.token, contracts.settlement
    data = token.encode("transfer", ROLES.grid, 5)
    # ERC-20's selector of transfer(address,uint256)
    assert data[:4].hex() == "a9059cbb"
    assert token.selector("transfer") == data[:4]
    assert token.arguments("transfer", data) == (ROLES.grid, 5)
    assert token.result("balanceOf", (7).to_bytes(32, "big")) == 7
    exit_words = b"".join(value.to_bytes(32, "big") for value in (1, 2, 3))
    assert settlement.result("exits", exit_words) == (1, 2, 3)
    assert {"settle", "read", "words", "debts"} <= set(settlement.functions)
    with pytest.raises(ContractError, match=r"is not CreditToken\.approve"):
        token.arguments("approve", data)


def test_a_log_of_another_contract_is_no_event(contracts: Contracts) -> None:
    assert contracts.token.event((bytes(32),), b"") is None
    assert contracts.token.event((), b"") is None


# ---------------------------------------------------------------- parameters and roles


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"length_s": 299}, "length_s is 299"),
        ({"notice_intervals": -1}, "notice_intervals is -1"),
        ({"fill_window_s": 899}, "fill_window_s is 899: need 900"),
        ({"fill_window_s": 216_000, "exit_delay_s": 2**21}, "fill_window_s is 216000"),
        ({"exit_delay_s": 217_800}, "exit_delay_s is 217800: need 217801"),
        ({"role_delay_s": 3 * 86_400}, "need"),
        ({"role_delay_s": 366 * 86_400 + 1}, "role_delay_s is 31622401"),
        ({"fee_micro_per_kwh": -1}, "fee_micro_per_kwh is -1"),
        ({"fee_micro_per_kwh": 4_000_001}, "fee_micro_per_kwh is 4000001"),
        ({"price_cap_micro_per_kwh": 2**38}, "price_cap_micro_per_kwh is 274877906944"),
        ({"record_for_s": 3_599}, "record_for_s is 3599: need 3600"),
    ],
)
def test_a_parameter_that_would_not_hold_is_refused(changes: dict[str, int], what: str) -> None:
    with pytest.raises(ValueError, match=what):
        Parameters(**changes)


def test_roles_need_addresses_and_four_keys() -> None:
    with pytest.raises(ValueError, match="role grid"):
        replace(ROLES, grid=bytes(20))
    with pytest.raises(ValueError, match="role oracle"):
        replace(ROLES, oracle=b"short")
    with pytest.raises(ValueError, match="four different keys"):
        replace(ROLES, oracle=ROLES.operator)


# ---------------------------------------------------------------- the address book


def test_an_address_book_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "addresses.json"
    save_address_book(path, DEPLOYMENT)
    assert load_address_book(path) == DEPLOYMENT
    assert json.loads(path.read_text())["settlement"] == "0x" + "73" * 20
    assert DEPLOYMENT.domain == Domain(1848, b"s" * 20)
    assert [entry.name for entry in tmp_path.iterdir()] == ["addresses.json"]


def _damaged(change: Any) -> str:
    book = json.loads(json.dumps(asdict(DEPLOYMENT), default=lambda raw: f"0x{raw.hex()}"))
    change(book)
    return json.dumps(book)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        _damaged(lambda book: book.pop("token")),
        _damaged(lambda book: book["roles"].pop("grid")),
        _damaged(lambda book: book["roles"].update(oracle="0x12")),
        _damaged(lambda book: book["parameters"].update(length_s=1)),
        _damaged(lambda book: book["parameters"].update(surprise=1)),
        _damaged(lambda book: book.update(settlement="no address")),
    ],
)
def test_a_damaged_address_book_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "addresses.json"
    path.write_text(text)
    with pytest.raises(ContractError, match="is damaged"):
        load_address_book(path)


def test_a_missing_address_book_is_named(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="No such file"):
        load_address_book(tmp_path / "nowhere.json")
