"""The commands a stranger starts with: any folder, a path with a space, and one line for what goes wrong.

Most tests run the real scripts in a small copy of the checkout whose `.venv` holds a stand-in for Python that
only writes down how it was called: what is under test here is the set-up, not what it starts.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = (
    *("awk", "bash", "basename", "cat", "chmod", "cksum", "df", "dirname", "env", "flock", "grep", "head"),
    *("mkdir", "paste", "printf", "pwd", "rm", "sed", "sh", "sort", "tail"),
)

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="the scripts are written for bash")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what the scripts need, in a folder with a space."""
    root = tmp_path / "a folder"
    shutil.copytree(ROOT / "scripts", root / "scripts")
    shutil.copytree(ROOT / ".ci", root / ".ci")
    for lock in ("requirements.lock", "requirements-dev.lock"):
        shutil.copy(ROOT / lock, root / lock)
    (root / "node" / "bench").mkdir(parents=True)
    (root / "node" / "bench" / "day.py").write_text("def main(argv): ...\n")
    (root / "node" / "bench" / "reference.py").write_text("")
    return root


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A folder with the shell's tools and no Python, to be the whole PATH."""
    folder = tmp_path / "tools"
    folder.mkdir()
    for tool in TOOLS:
        found = shutil.which(tool)
        if found:
            (folder / tool).symlink_to(found)
    return folder


def script(folder: Path, name: str, body: str) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def installed(root: Path, python_body: str = 'printf "%s\\n" "$0" "$@"') -> None:
    """Make `.venv` look installed, with a stand-in for Python."""
    venv = root / ".venv"
    script(venv / "bin", "python", python_body)
    for lock in ("requirements.lock", "requirements-dev.lock"):
        with (root / lock).open("rb") as text:
            checksum = subprocess.run(["cksum"], stdin=text, capture_output=True, text=True, check=True)
        (venv / f".installed-{lock}").write_text(f"{root} {checksum.stdout}")


def run(command: Path, *arguments: str, path: Path | None = None, **extra: str) -> tuple[int, str, str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "UV_", "PYTHON"))} | extra
    if path is not None:
        environment["PATH"] = str(path)
    done = subprocess.run(
        [str(command), *arguments], capture_output=True, text=True, check=False, cwd="/", env=environment
    )
    return done.returncode, done.stdout, done.stderr


def test_second_start_installs_nothing_and_passes_all_flags_on(checkout: Path) -> None:
    installed(checkout)
    status, out, err = run(checkout / "scripts" / "demo", "--once", "--out", "my report", "--seed", "7")
    assert (status, err) == (0, "")
    python = str(checkout / ".venv" / "bin" / "python")
    assert out.splitlines() == [
        python, "-P", "-m", "node.cli", "demo", "--once", "--out", "my report", "--seed", "7",
    ]  # fmt: skip


def test_script_reached_through_a_link_finds_its_checkout_only_by_its_own_path(checkout: Path) -> None:
    installed(checkout)
    status, out, _ = run(checkout / "scripts" / ".." / "scripts" / "demo")
    assert status == 0
    assert out.splitlines()[0] == str(checkout / ".venv" / "bin" / "python")


def test_changed_lock_file_is_noticed(checkout: Path, tools: Path) -> None:
    installed(checkout)
    with (checkout / "requirements.lock").open("a") as lock:
        lock.write("# changed\n")
    script(tools, "df", 'printf "head\\nfs 1 1 1000 1 /\\n"')
    status, _, err = run(checkout / "scripts" / "demo", path=tools)
    assert status == 1
    assert "disk full" in err  # it went on to install


def test_old_python_is_told_in_one_line(checkout: Path, tools: Path) -> None:
    script(tools, "python3", 'case "$2" in *print*) echo 3.9.18 ;; *) exit 1 ;; esac')
    status, _, err = run(checkout / "scripts" / "demo", "--once", path=tools)
    assert status == 1
    assert err.startswith("demo: needs Python 3.11 or newer, found 3.9.18: install one, or name it: PYTHON=")
    assert err.count("\n") == 1


def test_missing_python_is_told_in_one_line(checkout: Path, tools: Path) -> None:
    status, _, err = run(checkout / "scripts" / "test", path=tools)
    assert status == 1
    assert err.startswith("test: needs Python 3.11 or newer, found none:")
    assert err.count("\n") == 1


def test_newest_known_python_is_preferred_and_missing_venv_module_is_told(
    checkout: Path, tools: Path
) -> None:
    script(tools, "python3.12", 'case "$2" in *ensurepip*) exit 1 ;; esac')
    script(tools, "python3", "exit 0")
    status, _, err = run(checkout / "scripts" / "demo", path=tools)
    assert status == 1
    assert err == (
        "demo: python3.12 has no venv module: install it (Debian, Ubuntu: apt install python3-venv)\n"
    )


def test_full_disk_is_told_in_one_line(checkout: Path, tools: Path) -> None:
    script(
        tools, "df", 'printf "Filesystem 1024-blocks Used Available Capacity Mounted\\nfs 9 9 204800 9 /\\n"'
    )
    status, _, err = run(checkout / "scripts" / "demo", path=tools)
    assert status == 1
    assert err == f"demo: disk full: 200 MB free at {checkout}, 1464 MB needed\n"


def test_unwritable_checkout_is_told_in_one_line(checkout: Path) -> None:
    (checkout / ".venv").write_text("a file where the folder should be")
    status, _, err = run(checkout / "scripts" / "demo")
    assert status == 1
    assert err == f"demo: cannot write to {checkout}: make it writable or clone elsewhere\n"


def test_incomplete_checkout_is_told_in_one_line(checkout: Path) -> None:
    (checkout / "requirements.lock").unlink()
    status, _, err = run(checkout / "scripts" / "demo")
    assert (status, err) == (1, "demo: requirements.lock is missing: this checkout is not complete\n")


def test_missing_network_is_told_in_one_line_and_leaves_no_stamp(checkout: Path) -> None:
    status, _, err = run(
        checkout / "scripts" / "demo",
        PYTHON=sys.executable,
        PIP_CONFIG_FILE="/dev/null",
        PIP_INDEX_URL="http://127.0.0.1:9/simple",
        PIP_NO_CACHE_DIR="1",
        PIP_RETRIES="0",
    )
    assert status == 1
    last = err.splitlines()[-1]
    assert last.startswith(
        "demo: cannot install the packages of requirements.lock: no network, or the package"
    )
    assert len(err.splitlines()) == 2  # the announcement, and what went wrong
    assert not (checkout / ".venv" / ".installed-requirements.lock").exists()


def test_every_stage_runs_and_one_failure_fails_the_whole(checkout: Path) -> None:
    installed(checkout, 'case "$*" in *mypy*) echo types are wrong; exit 1 ;; esac')
    script(checkout / ".venv" / "bin", "lint-imports", "exit 0")
    status, out, _ = run(checkout / "scripts" / "test")
    assert status == 1
    summary = out[out.index("== summary") :].splitlines()[1:]
    assert [re.sub(r" +\d+ s$", "", re.sub("  +", " ", line)) for line in summary] == [
        "style passed", "format passed", "types FAILED", "import rules passed", "tests passed",
    ]  # fmt: skip


def test_tests_pass_when_all_stages_do(checkout: Path) -> None:
    installed(checkout, "exit 0")
    script(checkout / ".venv" / "bin", "lint-imports", "exit 0")
    assert run(checkout / "scripts" / "test")[0] == 0
    assert run(checkout / "scripts" / "test", "nightly")[0] == 0


def test_slow_proofs_run_in_the_nightly_profile_only(checkout: Path) -> None:
    installed(checkout)
    script(checkout / ".venv" / "bin", "lint-imports", "exit 0")
    assert "not slow" in run(checkout / "scripts" / "test")[1]
    assert "not slow" not in run(checkout / "scripts" / "test", "nightly")[1]
    assert "tests/simulation" in run(checkout / "scripts" / "test", "faults")[1]


def test_a_missing_browser_is_told_in_one_line_where_it_may_not_be_installed(
    checkout: Path, tools: Path
) -> None:
    installed(checkout, "exit 0")
    script(checkout / ".venv" / "bin", "lint-imports", "exit 0")
    script(tools, "id", "echo 1000")
    script(tools, "sudo", "exit 1")
    script(tools, "apt-get", "echo apt-get must not be called; exit 1")
    status, _, err = run(checkout / "scripts" / "test", path=tools)
    assert status == 0
    assert err == (
        "test: no chromium found, the tests of the page will fail: install it "
        "(Debian: apt-get install chromium)\n"
    )


@pytest.mark.parametrize("user", ["0", "1000"])
def test_a_missing_browser_is_installed_where_it_may_be(checkout: Path, tools: Path, user: str) -> None:
    installed(checkout, "exit 0")
    script(checkout / ".venv" / "bin", "lint-imports", "exit 0")
    script(tools, "id", f"echo {user}")
    script(tools, "sudo", 'shift; exec "$@"')
    script(tools, "true", "exit 0")
    script(tools, "apt-get", f'echo "$@" >> "{tools}/called"')
    status, _, err = run(checkout / "scripts" / "test", path=tools)
    assert (status, err) == (0, "test: installing chromium (once)\n")
    assert (tools / "called").read_text() == "update\ninstall --yes --no-install-recommends chromium\n"


def test_unknown_test_profile_is_refused(checkout: Path) -> None:
    assert run(checkout / "scripts" / "test", "nigthly")[::2] == (
        1,
        "test: usage: scripts/test [faults|nightly]\n",
    )


def test_ci_runs_the_tests_and_nothing_else(checkout: Path) -> None:
    script(checkout / "scripts", "test", 'echo called "$#"')
    assert run(checkout / ".ci" / "run") == (0, "called 0\n", "")


def test_bench_starts_a_room_and_lists_those_that_can_be_started(checkout: Path) -> None:
    installed(checkout)
    status, out, _ = run(checkout / "scripts" / "bench", "day", "--json")
    assert status == 0
    assert out.splitlines()[-1] == "--json"
    assert "from node.bench.day import main" in out
    for wrong in ((), ("nowhere",), ("../day",)):
        assert run(checkout / "scripts" / "bench", *wrong)[::2] == (
            1,
            "bench: usage: scripts/bench ROOM [--json]; rooms: day\n",
        )


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock", "scripts/installer.lock"])
def test_every_locked_package_has_its_hashes_and_no_index(lock: str) -> None:
    text = (ROOT / lock).read_text()
    entries = re.split(r"\n(?=[a-z0-9])", text)
    assert all("--hash=sha256:" in entry for entry in entries)
    assert "index-url" not in text
    assert "://" not in text


def test_runtime_and_development_locks_agree() -> None:
    def pins(lock: str) -> dict[str, str]:
        found = re.findall(r"^([a-z0-9.\-\[\]]+)==(\S+)", (ROOT / lock).read_text(), re.MULTILINE)
        return dict(found)

    runtime, development = pins("requirements.lock"), pins("requirements-dev.lock")
    assert runtime.items() <= development.items()
