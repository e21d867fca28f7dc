"""Deploying is done once, however often it is run and wherever it was stopped."""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import fields, replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from node import deploy
from node.chain.contracts import (
    ContractError,
    Parameters,
    Roles,
    cache_folder,
    compile_contracts,
    load_address_book,
    verify,
)
from node.chain.direct import DirectCall, produced_at, transact
from node.chain.embedded import EmbeddedChain, Genesis
from node.chain.keys import LocalSigner, checksum, derive, load_keystore, save_keystore
from node.cli import app
from tests.simulation.anvil import AnvilChain, anvil

CHAIN_ID = 77_001
START_S = 2_000_000_000
PASSWORD = "four words nobody guesses"


@pytest.fixture
def keystores(tmp_path: Path) -> Path:
    folder = tmp_path / "keys"
    folder.mkdir()
    for field in fields(Roles):
        save_keystore(folder / f"{field.name}.json", derive("deploy", field.name), PASSWORD, iterations=2)
    return folder


@pytest.fixture
def options(tmp_path: Path, keystores: Path) -> deploy.Options:
    book = tmp_path / "contracts.json"
    return deploy.Options("http://127.0.0.1:1", CHAIN_ID, keystores, book, cache_folder(), Parameters())


@pytest.fixture
def chain() -> Iterator[EmbeddedChain]:
    with closing(EmbeddedChain(None, Genesis(CHAIN_ID, START_S))) as opened:
        yield opened


def mining(chain: EmbeddedChain) -> Callable[[], None]:
    return produced_at(chain, lambda: START_S)


def issuer() -> LocalSigner:
    return derive("deploy", "issuer")


def test_contracts_are_deployed_verified_and_written_down(chain, options) -> None:
    said: list[str] = []
    made = deploy.deploy(chain, options, issuer(), mining(chain), said.append)
    assert load_address_book(options.book) == made
    verify(chain, compile_contracts(cache_folder()), made)
    assert chain.head().number == 3
    assert said[-1].startswith(f"deployed on chain {CHAIN_ID}, code verified")
    assert sorted(path.name for path in options.book.parent.iterdir()) == ["contracts.json", "keys"]


def test_running_it_again_sends_nothing(chain, options) -> None:
    made = deploy.deploy(chain, options, issuer(), mining(chain), lambda _line: None)
    said: list[str] = []
    assert deploy.deploy(chain, options, issuer(), mining(chain), said.append) == made
    assert chain.head().number == 3
    assert len(said) == 1 and said[0].startswith("nothing to do")


@pytest.mark.parametrize("n_made", [0, 1, 2, 3])
def test_a_deployment_that_was_stopped_goes_on_where_it_was(chain, options, n_made) -> None:
    class Killed(BaseException):
        pass

    left = [n_made]

    def mine() -> None:
        if left[0] == 0:
            raise Killed
        left[0] -= 1
        mining(chain)()
        if left[0] == 0 and n_made == 3:
            raise Killed  # after the last contract, before the address book

    with pytest.raises(Killed):
        deploy.deploy(chain, options, issuer(), mine, lambda _line: None)
    assert not options.book.exists()
    if n_made < 3:
        mining(chain)()  # what was sent before the end is mined none the less
    made = deploy.deploy(chain, options, issuer(), mining(chain), lambda _line: None)
    assert chain.nonce(issuer().address) == 3, "nothing was deployed twice"
    verify(chain, compile_contracts(cache_folder()), made)


def test_a_deployer_whose_key_was_used_meanwhile_is_refused(chain, options) -> None:
    class Killed(BaseException):
        pass

    def die() -> None:
        raise Killed

    with pytest.raises(Killed):
        deploy.deploy(chain, options, issuer(), die, lambda _line: None)
    chain.produce_block(START_S + 50)
    transact(chain, DirectCall(issuer(), bytes(20), b"", 21_000), mining(chain))
    with pytest.raises(deploy.DeploymentRefused, match=r"has sent 2 transactions, 1 were planned"):
        deploy.deploy(chain, options, issuer(), mining(chain), lambda _line: None)


def test_other_parameters_or_keys_than_those_deployed_are_refused(chain, options, keystores) -> None:
    deploy.deploy(chain, options, issuer(), mining(chain), lambda _line: None)
    dearer = replace(options, parameters=replace(options.parameters, fee_micro_per_kwh=6_000))
    with pytest.raises(deploy.DeploymentRefused, match="parameter fee_micro_per_kwh 5000, not 6000"):
        deploy.deploy(chain, dearer, issuer(), mining(chain), lambda _line: None)
    (keystores / "oracle.json").unlink()
    save_keystore(keystores / "oracle.json", derive("deploy", "another"), PASSWORD, iterations=2)
    with pytest.raises(deploy.DeploymentRefused, match=r"role oracle 0x.*, not 0x"):
        deploy.deploy(chain, options, issuer(), mining(chain), lambda _line: None)


def test_an_address_book_whose_code_is_not_on_chain_is_refused(chain, options) -> None:
    made = deploy.deploy(chain, options, issuer(), mining(chain), lambda _line: None)
    with closing(EmbeddedChain(None, Genesis(CHAIN_ID, START_S))) as empty:
        with pytest.raises(ContractError, match="has no code"):
            deploy.deploy(empty, options, issuer(), mining(empty), lambda _line: None)
        assert empty.head().number == 0
    assert load_address_book(options.book) == made


def test_a_missing_keystore_and_a_shared_key_are_refused(chain, options, keystores) -> None:
    text = (keystores / "oracle.json").read_text()
    (keystores / "registrar.json").write_text(text)
    with pytest.raises(deploy.DeploymentRefused, match="need four different keys"):
        deploy.deploy(chain, options, issuer(), mining(chain), lambda _line: None)
    (keystores / "registrar.json").unlink()
    with pytest.raises(deploy.DeploymentRefused, match=r"registrar\.json: No such file .* symgrid keys new"):
        deploy.deploy(chain, options, issuer(), mining(chain), lambda _line: None)
    (keystores / "registrar.json").write_text("{}")
    with pytest.raises(deploy.DeploymentRefused, match="no V3 keystore with an address"):
        deploy.deploy(chain, options, issuer(), mining(chain), lambda _line: None)
    assert chain.head().number == 0


def test_keys_are_made_once_encrypted_and_for_their_owner_only(tmp_path: Path) -> None:
    file = tmp_path / "operator.json"
    runner = CliRunner(env={"SYMGRID_PASSWORD": PASSWORD})
    made = runner.invoke(app, ["keys", "new", str(file)])
    assert made.exit_code == 0, made.output
    assert made.output == f"{file}: {checksum(load_keystore(file, PASSWORD).address)}\n"
    assert file.stat().st_mode & 0o777 == 0o600
    again = runner.invoke(app, ["keys", "new", str(file)])
    assert again.exit_code == 2
    assert "File exists" in again.output


def test_the_address_of_a_creation_is_the_one_the_chain_gives(chain) -> None:
    creation = compile_contracts(cache_folder()).token.creation(bytes(19) + b"\7")
    for nonce in range(3):
        receipt = transact(chain, DirectCall(issuer(), None, creation), mining(chain))
        assert receipt.contract == deploy.created_address(issuer().address, nonce)


@pytest.mark.slow
def test_the_command_deploys_on_anvil_once_and_refuses_another_chain_id(options, keystores) -> None:
    with anvil(CHAIN_ID, START_S) as url, closing(AnvilChain(url, CHAIN_ID)) as there:
        there._ask("evm_setAutomine", True)
        runner = CliRunner(env={"SYMGRID_PASSWORD": PASSWORD})
        command = ["deploy", "--rpc", url, "--keystores", str(keystores), "--book", str(options.book)]
        wrong = runner.invoke(app, [*command, "--chain-id", "77002"])
        assert wrong.exit_code == 2
        assert f"serves chain {CHAIN_ID}, expected 77002" in wrong.output
        assert there.head().number == 0
        done = runner.invoke(app, [*command, "--chain-id", str(CHAIN_ID)])
        assert done.exit_code == 0, done.output
        verify(there, compile_contracts(cache_folder()), load_address_book(options.book))
        height = there.head().number
        again = runner.invoke(app, [*command, "--chain-id", str(CHAIN_ID)])
        assert again.exit_code == 0, again.output
        assert "nothing to do" in again.output
        assert there.head().number == height
        assert PASSWORD not in done.output + again.output + wrong.output
