"""An owner leaves with nobody's help: no hub, no operator's key, no oracle; a fresh process with two files."""

import json
import os
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from market.units import PICO_PER_CREDIT
from node import exit as leaving
from node.chain.contracts import cache_folder, compile_contracts, load_address_book
from node.chain.direct import DirectCall, produced_at, transact
from node.chain.embedded import EmbeddedChain
from node.chain.keys import load_keystore, save_keystore
from node.chain.ports import CallReverted
from node.cli import app
from tests.simulation.conftest import run_corner

ROOT = Path(__file__).parents[2]
PASSWORD = "four words nobody guesses"
ACCOUNT = 3


@dataclass(frozen=True, slots=True)
class Left:
    """All that an owner has left: the chain's file, the address book, the own keystore."""

    folder: Path
    owner: bytes
    balance_pico: int
    stopped_s: int
    exit_delay_s: int

    @property
    def options(self) -> leaving.Options:
        return leaving.Options(
            self.folder / "contracts.json", None, self.folder / "chain.sqlite", cache_folder(), at_s=0
        )

    def symgrid(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `symgrid exit` in a process of its own that inherits nothing of ours."""
        command = [sys.executable, "-P", "-m", "node.cli", "exit", "--book", "contracts.json"]
        command += ["--keystore", "owner.json", "--chain", "chain.sqlite", *arguments]
        kept = ("PATH", "HOME", "LANG", "XDG_CACHE_HOME", "OMP_NUM_THREADS")
        clean = {name: os.environ[name] for name in kept if name in os.environ}
        return subprocess.run(
            command,
            cwd=self.folder,
            env=clean | {"PYTHONPATH": str(ROOT), "SYMGRID_PASSWORD": PASSWORD},
            capture_output=True,
            text=True,
            check=False,
        )

    def invoke(self, *arguments: str) -> Result:
        """Run `symgrid exit` in this process."""
        files = {"--book": "contracts.json", "--keystore": "owner.json", "--chain": "chain.sqlite"}
        paths = [part for flag, name in files.items() for part in (flag, str(self.folder / name))]
        return CliRunner(env={"SYMGRID_PASSWORD": PASSWORD}).invoke(app, ["exit", *paths, *arguments])


@pytest.fixture(scope="module")
def ruin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a community left behind that stopped for ever after two intervals."""
    data = tmp_path_factory.mktemp("ruin")
    community = run_corner(data, stop=2)
    (data / "gone.json").write_text(
        json.dumps(
            {
                "balance": community.contracts.settlement.result(
                    "balance_of",
                    community.chain.call(
                        community.deployment.settlement,
                        community.contracts.settlement.encode("balance_of", ACCOUNT),
                    ),
                ),
                "stopped": community.chain.head().timestamp_s,
            }
        )
    )
    owner = community.keys.owner(community.scenario.participants[ACCOUNT - 2].id)
    save_keystore(data / "owner.json", owner, PASSWORD, iterations=2)
    community.close()
    return data


@pytest.fixture
def left(ruin: Path, tmp_path: Path) -> Left:
    """Copy the chain's file by its backup, the address book and the keystore; nothing else survives."""
    with closing(EmbeddedChain(ruin / "state" / "chain.sqlite")) as chain:
        chain.backup(tmp_path / "chain.sqlite")
    for source in (ruin / "state" / "contracts.json", ruin / "owner.json"):
        (tmp_path / source.name).write_bytes(source.read_bytes())
    facts = json.loads((ruin / "gone.json").read_text())
    address = bytes.fromhex(json.loads((tmp_path / "owner.json").read_text())["address"].removeprefix("0x"))
    delay_s = load_address_book(tmp_path / "contracts.json").parameters.exit_delay_s
    return Left(tmp_path, address, facts["balance"], facts["stopped"], delay_s)


def token_balance(left: Left) -> int:
    book = load_address_book(left.folder / "contracts.json")
    token = compile_contracts(cache_folder()).token
    with closing(EmbeddedChain(left.folder / "chain.sqlite")) as chain:
        return int(token.result("balanceOf", chain.call(book.token, token.encode("balanceOf", left.owner))))


def test_an_owner_is_paid_to_the_unit_after_the_delay_and_not_before(left: Left) -> None:
    """Request, a second too early, ready, nothing left: a new process each, two files and a key."""
    assert sorted(path.name for path in left.folder.iterdir()) == [
        "chain.sqlite",
        "contracts.json",
        "owner.json",
    ]
    asked_s = left.stopped_s + 3_600
    ready_s = asked_s + left.exit_delay_s
    request = left.symgrid("--at", str(asked_s))
    assert request.returncode == 0, request.stderr
    assert "warning: this makes blocks on this copy of an embedded chain" in request.stdout
    credits_left = leaving.credits_text(left.balance_pico)
    assert f"account 3: {credits_left} credits leave its balance" in request.stdout
    assert leaving.time_text(ready_s) in request.stdout
    early = left.symgrid("--at", str(ready_s - 1))
    assert early.returncode == 0, early.stderr
    assert f"ready at {leaving.time_text(ready_s)}; run this again then" in early.stdout
    assert token_balance(left) == 0
    paid = left.symgrid("--at", str(ready_s))
    assert paid.returncode == 0, paid.stderr
    assert f"account 3: {credits_left} credits were paid out" in paid.stdout
    assert token_balance(left) == left.balance_pico
    with pytest.raises(leaving.ExitRefused, match="account 3 has no balance to take out"):
        leaving.run(left.options, load_keystore(left.folder / "owner.json", PASSWORD), print)


def test_part_of_a_balance_can_leave(left: Left) -> None:
    done = left.invoke("--at", str(left.stopped_s + 10), "--amount", "12.5")
    assert done.exit_code == 0, done.output
    assert "account 3: 12.5 credits leave its balance" in done.output


def test_the_key_of_another_account_and_a_wrong_password_are_refused(left: Left) -> None:
    other = left.invoke("--account", "4")
    assert other.exit_code == 2
    assert "account 4 does not belong to 0x" in other.output
    (left.folder / "wrong").write_text("not this one\nsecond line\n")
    wrong = left.invoke("--password-file", str(left.folder / "wrong"))
    assert wrong.exit_code == 2
    assert "no V3 keystore, or the password is wrong" in wrong.output
    assert "not this one" not in wrong.output
    assert PASSWORD not in other.output


def test_a_chain_that_a_hub_still_writes_is_refused(left: Left) -> None:
    with closing(EmbeddedChain(left.folder / "chain.sqlite")):
        done = left.invoke()
    assert done.exit_code == 2
    assert "symgrid: chain" in done.output


def test_the_contract_itself_refuses_to_pay_early(left: Left) -> None:
    """Not only the command is polite: the transaction reverts."""
    book = load_address_book(left.folder / "contracts.json")
    settlement = compile_contracts(cache_folder()).settlement
    owner = load_keystore(left.folder / "owner.json", PASSWORD)
    with closing(EmbeddedChain(left.folder / "chain.sqlite")) as chain:
        now_s = [left.stopped_s + 10]
        mine = produced_at(chain, lambda: now_s[0])
        amount = settlement.encode("request_exit", ACCOUNT, PICO_PER_CREDIT)
        transact(chain, DirectCall(owner, book.settlement, amount), mine)
        now_s[0] += left.exit_delay_s - 1
        pay = settlement.encode("withdraw", ACCOUNT)
        with pytest.raises(CallReverted, match="ledger: not ready"):
            transact(chain, DirectCall(owner, book.settlement, pay, gas=200_000), mine)
        now_s[0] += 1
        transact(chain, DirectCall(owner, book.settlement, pay, gas=200_000), mine)
    assert token_balance(left) == PICO_PER_CREDIT


@pytest.mark.parametrize("text", ["0", "-1", "many", "1e-13", "NaN", "Infinity", ""])
def test_an_amount_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected credits"):
        leaving.amount_of(text)


def test_amounts_keep_twelve_decimals() -> None:
    assert leaving.amount_of("0.000000000001") == 1
    assert leaving.amount_of("400") == 400 * PICO_PER_CREDIT
    assert leaving.credits_text(400 * PICO_PER_CREDIT + 1) == "400.000000000001"


def test_an_account_is_found_by_its_owner(left: Left) -> None:
    owner = load_keystore(left.folder / "owner.json", PASSWORD)
    said: list[str] = []
    standing = leaving.run(left.options, owner, said.append)
    assert standing.account == ACCOUNT
    assert standing.leaving_pico == left.balance_pico
    assert standing.balance_pico == standing.paid_out_pico == 0
