"""Start a PostgreSQL server of our own, in a folder of its own, behind a Unix socket only."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

PATIENCE_S = 60.0
POLL_S = 0.05
USER = "symgrid"


@dataclass(frozen=True, slots=True)
class Server:
    """A running server."""

    folder: Path
    process: subprocess.Popen[bytes]

    def url(self, database: str) -> str:
        """Return the URL of a database."""
        return f"postgresql+psycopg://{USER}@/{database}?host={self.folder}"

    def create(self, database: str) -> str:
        """Create an empty database and return its URL."""
        import psycopg

        with psycopg.connect(
            f"host={self.folder} user={USER} dbname=postgres", autocommit=True
        ) as connection:
            connection.execute(f'CREATE DATABASE "{database}"')
        return self.url(database)


def _binaries() -> Path:
    """Return the folder of the server's programs. Without it: fail in CI, skip elsewhere."""
    on_path = shutil.which("initdb")
    if on_path is not None:
        return Path(on_path).parent
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        why = "no PostgreSQL server is here (Debian: apt-get install postgresql)"
        if os.environ.get("CI") == "true":
            pytest.fail(why)
        pytest.skip(why)
    return found[-1].parent


@contextmanager
def server() -> Iterator[Server]:
    """Run a server; nobody but this machine's users reaches it, and nothing of it remains."""
    programs = _binaries()
    # Not a test's own folder: a socket's path may have 107 bytes, and the server's user must get there.
    folder = Path(tempfile.mkdtemp(prefix="symgrid-pg-"))
    folder.chmod(0o755)
    options: dict[str, object] = {"cwd": folder}
    if os.geteuid() == 0:  # the server refuses to run as root
        account = pwd.getpwnam("postgres")
        os.chown(folder, account.pw_uid, account.pw_gid)
        options |= {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    data = folder / "data"
    create = [programs / "initdb", "-D", data, "--auth=trust", "--encoding=UTF8", "--no-sync", "-U", USER]
    subprocess.run(create, check=True, capture_output=True, **options)  # type: ignore[call-overload]
    start = [programs / "postgres", "-D", data, "-k", folder, "-c", "listen_addresses="]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(start, stdout=log, stderr=log, **options)  # type: ignore[call-overload]
    try:
        running = Server(folder, process)
        _wait(running)
        yield running
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()
        shutil.rmtree(folder)


def _wait(running: Server) -> None:
    import psycopg

    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            psycopg.connect(f"host={running.folder} user={USER} dbname=postgres").close()
            return
        except psycopg.OperationalError:
            if running.process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"PostgreSQL did not start: {(running.folder / 'log').read_text()}")
            signal.sigtimedwait([], POLL_S)  # nothing tells when the socket is there
