"""The command `symgrid`: one line for what is wrong, the right exit status, and a day that is all there."""

import base64
import csv
import errno
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from sqlalchemy import update
from typer.testing import CliRunner

from node.cli import _os_reason, app
from node.founding import ROLE_NAMES, Keyring
from node.report.export import EXPORTED
from node.scenario import load, shipped
from node.store.tables_chain import chain_accounts
from node.store.unit_of_work import Store

ROOT = Path(__file__).parents[2]
CORNER = ROOT / "tests" / "data" / "scenarios" / "corner.yaml"
USAGE, FAILED = 2, 1


def symgrid(*arguments: object, **environment: str | None) -> tuple[int, str, str]:
    """Run the command in this process; return exit status, output, errors."""
    done = CliRunner(env=environment).invoke(app, [str(argument) for argument in arguments])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.stdout, done.stderr


def one_line(text: str) -> str:
    assert text.count("\n") == 1 and text.endswith("\n"), text
    return text[:-1]


def corner(folder: Path, old: str = "", new: str = "") -> Path:
    """Write the corner scenario with one change; return its file."""
    text = CORNER.read_text()
    assert old in text
    path = folder / "corner.yaml"
    path.write_text(text.replace(old, new, 1))
    return path


# ------------------------------------------------------------------ checkconfig


@pytest.mark.parametrize("path", sorted(shipped.FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_scenario_is_right_and_found_by_its_name(path):
    status, out, err = symgrid("checkconfig", path.stem)
    assert (status, err) == (0, "")
    assert f"{path.stem}: ok: " in one_line(out)


MISTAKES = {
    "broken YAML": ("name: corner", "name: [corner", "broken YAML: expected"),
    "unknown field": ("seed: 3", "seed: 3\nsede: 4", "sede: unknown field; did you mean seed?"),
    "wrong unit": (
        "yearly_kwh: 3_500",
        "yearly_mwh: 3.5",
        "load.yearly_mwh: unknown field; did you mean yearly_kwh?",
    ),
    "negative": (
        "capacity_wh: 8_000",
        "capacity_wh: -8",
        "capacity_wh: expected a value greater than 0, got -8",
    ),
    "text for a number": ("days: 1", "days: many", "days: expected"),
    "unknown node": ("node: cable", "node: cabel", "cabel"),
    "unknown zone": ("Europe/Berlin", "Europe/Bielefeld", "Europe/Bielefeld"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_told_with_file_line_field_and_expectation(tmp_path, name):
    old, new, said = MISTAKES[name]
    path = corner(tmp_path, old, new)
    status, out, err = symgrid("checkconfig", path)
    assert (status, out) == (USAGE, "")
    first = err.splitlines()[0]
    file, line, column, message = first.split(":", 3)
    assert file == str(path)
    assert int(line) >= 1 and int(column) >= 1
    assert said in message


def test_several_mistakes_are_told_one_a_line(tmp_path):
    path = corner(tmp_path, "seed: 3\n", "sede: 3\nplace: here\n")
    status, _, err = symgrid("checkconfig", path)
    assert status == USAGE
    assert len(err.splitlines()) >= 2


@pytest.mark.parametrize("content", [b"", b"- a\n- b\n", b"\xff\xfe\x00", b"&a [*a]"])
def test_a_file_that_is_no_scenario_is_refused(tmp_path, content):
    path = tmp_path / "any.yaml"
    path.write_bytes(content)
    status, out, err = symgrid("checkconfig", path)
    assert (status, out) == (USAGE, "")
    assert err.startswith(str(path))


@pytest.mark.parametrize("wrong", [("--sede", "4"), ("--days", "0"), ("--seed", "-1"), ("--port", "70000")])
def test_an_impossible_option_is_refused(wrong):
    status, _, err = symgrid("demo", *wrong)
    assert status == USAGE
    assert wrong[0] in err


# ------------------------------------------------------------------ demo


def test_a_port_in_use_is_told_before_the_day_is_run(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, out, err = symgrid("demo", "--scenario", CORNER, "--port", port, "--out", tmp_path / "out")
    assert (status, out) == (USAGE, "")
    assert one_line(err) == f"symgrid: port {port} is in use: choose another one with --port"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("option", ["--data", "--out"])
def test_a_folder_that_cannot_be_written_is_told(tmp_path, option):
    (tmp_path / "file").write_text("in the way")
    other = "--out" if option == "--data" else "--data"
    status, _, err = symgrid(
        "demo", "--once", "--scenario", CORNER, option, tmp_path / "file" / "x", other, tmp_path / "fine"
    )
    assert status == FAILED
    assert one_line(err) == f"symgrid: {tmp_path / 'file' / 'x'}: Not a directory"


@pytest.mark.parametrize("option", ["--data", "--out"])
def test_a_file_where_a_folder_is_needed_is_told(tmp_path, option):
    (tmp_path / "file").write_text("in the way")
    other = "--out" if option == "--data" else "--data"
    status, _, err = symgrid(
        "demo", "--once", "--scenario", CORNER, option, tmp_path / "file", other, tmp_path / "fine"
    )
    assert status == FAILED
    assert one_line(err) == f"symgrid: {tmp_path / 'file'}: is a file, a folder is needed there"


@pytest.mark.parametrize(
    ("name", "hint"), [("homez", "did you mean homes? "), ("no/such/file.yaml", ""), ("xyz", "")]
)
@pytest.mark.parametrize("command", [("checkconfig",), ("demo", "--once", "--scenario")])
def test_a_scenario_that_is_not_there_is_told_with_those_that_are(command, name, hint):
    status, out, err = symgrid(*command, name)
    assert (status, out) == (USAGE, "")
    told = one_line(err)
    assert told.startswith(f"{name}: no such file, and no such shipped scenario; {hint}shipped: ")
    assert ", homes, neighbourhood" in told


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs a file system that nobody can write")
def test_a_file_system_that_is_not_for_writing_is_told(tmp_path):
    status, _, err = symgrid("demo", "--once", "--scenario", CORNER, "--data", "/proc/x", "--out", tmp_path)
    assert status == FAILED
    assert one_line(err).startswith("symgrid: /proc/x: ")


def test_a_full_disk_is_told_in_words():
    said = _os_reason(OSError(errno.ENOSPC, "No space left on device", "/data/store.sqlite"))
    assert said == (
        "/data/store.sqlite: the disk is full: free some space and run again with the same --data"
    )


def test_a_missing_data_folder_of_real_homes_is_told(tmp_path):
    arguments = ("demo", "--once", "--scenario", "hamlet", "--out", tmp_path)
    status, _, err = symgrid(*arguments, SYMGRID_DATA=None)
    assert status == USAGE
    assert "the environment variable SYMGRID_DATA is not set: set it to the data folder" in one_line(err)
    status, _, err = symgrid(*arguments, SYMGRID_DATA=str(tmp_path / "nowhere"))
    assert status == USAGE
    assert "no folder" in one_line(err)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[Path, Path, str]:
    """Run the corner's day once; return its data folder, its output folder and what it said."""
    folder = tmp_path_factory.mktemp("a day")
    data, out = folder / "data", folder / "out"
    status, said, err = symgrid("demo", "--once", "--scenario", CORNER, "--data", data, "--out", out)
    assert (status, err) == (0, "")
    return data, out, said


def test_a_day_ends_with_summary_report_and_tables(finished):
    _, out, said = finished
    assert "24 intervals delivered" in said
    assert "store and chain agree" in said
    assert (out / "report.html").stat().st_size > 1_000_000, "the plotting library is inside"
    kpis = json.loads((out / "kpis.json").read_text())
    assert (kpis["seed"], kpis["scenario"], kpis["differences"]) == (3, "corner", 0)
    assert [bill["name"] for bill in kpis["bills"]] == ["Sun", "Shade", "Car", "Rack"]
    assert {path.stem for path in (out / "tables").glob("*.csv")} == {table.name for table in EXPORTED}
    with (out / "tables" / "readings.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 24 * 4


def test_no_private_key_is_in_anything_that_a_day_leaves_or_says(finished):
    """Neither in the store, the chain, bundles, tables and reports, nor on the screen, in any usual form."""
    data, out, said = finished
    scenario = load(CORNER)
    keys = Keyring(scenario.seed, scenario.name)
    signers = [keys.buyer(), *(keys.role(name) for name in ROLE_NAMES)]
    for participant in scenario.participants:
        signers += [make(participant.id) for make in (keys.owner, keys.agent, keys.meter)]
    files = [path.read_bytes() for folder in (data, out) for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 40
    everything = b"\0".join([*files, said.encode()])
    lower = everything.lower()
    assert signers[1].address in everything  # what stands there is found
    for signer in signers:
        secret = signer._key.secret
        assert secret not in everything
        assert secret[::-1] not in everything
        assert secret.hex().encode() not in lower
        assert str(int.from_bytes(secret, "big")).encode() not in everything
        assert base64.b64encode(secret)[:-2] not in everything


def test_a_day_says_that_its_keys_are_not_for_money(finished):
    assert "keys are derived from the seed: for simulation only, never for money" in finished[2]


def test_a_second_run_on_the_same_data_goes_on_with_the_next_day(finished, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(finished[0], data)
    status, said, err = symgrid("demo", "--once", "--scenario", CORNER, "--data", data, "--out", tmp_path)
    assert (status, err) == (0, "")
    assert "24 intervals delivered" in said
    kpis = json.loads((tmp_path / "kpis.json").read_text())
    assert kpis["last_interval"] - kpis["first_interval"] == 47


@pytest.mark.parametrize("wrong", [("--seed", "9"), ("--study",)])
def test_another_scenario_on_the_same_data_is_refused(finished, tmp_path, wrong):
    status, _, err = symgrid(
        "demo", "--once", "--scenario", CORNER, "--data", finished[0], "--out", tmp_path, *wrong
    )
    assert status == FAILED
    assert "the data folder belongs to scenario 'corner' with seed 3" in one_line(err)


def test_a_bent_balance_ends_the_run_naming_account_and_amount(finished, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(finished[0], data)
    store = Store(f"sqlite:///{data / 'state' / 'store.sqlite'}")
    with store.begin() as connection:
        connection.execute(update(chain_accounts).where(chain_accounts.c.account == 3).values(owed_pico=7))
    store.close()
    status, _, err = symgrid("demo", "--once", "--scenario", CORNER, "--data", data, "--out", tmp_path)
    assert status == FAILED
    assert "account 3, owed_pico: store 7, chain 0, by -7" in one_line(err)


@pytest.mark.parametrize("file", ["store.sqlite", "chain.sqlite"])
def test_a_damaged_data_folder_is_told_in_one_line(finished, tmp_path, file):
    data = tmp_path / "data"
    shutil.copytree(finished[0], data)
    for rest in (data / "state").glob(f"{file}-*"):
        rest.unlink()
    (data / "state" / file).write_bytes(b"this is no database " * 1_000)
    status, _, err = symgrid("demo", "--once", "--scenario", CORNER, "--data", data, "--out", tmp_path)
    assert status == FAILED
    assert file in one_line(err)


def test_it_serves_a_finished_day_at_once_until_it_is_interrupted(finished, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(finished[0], data)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-P", "-m", "node.cli", "demo", "--scenario", str(CORNER), "--port", str(port)]
    with subprocess.Popen(
        [*command, "--data", str(data), "--out", str(tmp_path / "out")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1", "PYTHONPATH": str(ROOT)},
    ) as process:
        try:
            said = []
            assert any(said.append(line) or "serving http" in line for line in process.stdout), (
                process.stderr.read()
            )
            assert "1 day(s) delivered already: --days N delivers N more\n" in said
            assert not any(line[3:] == "intervals delivered\n" for line in said), "nothing was delivered anew"
            with httpx.Client(transport=httpx.HTTPTransport(retries=8)) as client:
                assert client.get(f"http://127.0.0.1:{port}/readyz").json() == {"status": "ready"}
                assert "Sun" in client.get(f"http://127.0.0.1:{port}/v1/participants/2").text
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=60) in (0, 130)
            assert "Traceback" not in process.stderr.read()
        finally:
            process.kill()
