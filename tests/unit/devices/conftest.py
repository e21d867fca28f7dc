"""Where the device tests find their reference data: shipped extracts, or the complete sets."""

import gzip
import os
from collections.abc import Callable
from pathlib import Path

import pytest

SHIPPED = Path(__file__).parents[2] / "data" / "devices"


@pytest.fixture(scope="session")
def reference_lines() -> Callable[[str], list[str]]:
    """Return a reader of `folder/file`: from $SYMGRID_DATA/storage if set and present, else the shipped extract."""

    def read(name: str) -> list[str]:
        complete = os.environ.get("SYMGRID_DATA")
        if complete:
            for suffix in ("", ".gz"):
                path = Path(complete) / "storage" / f"{name}{suffix}"
                if path.exists():
                    data = path.read_bytes()
                    return (gzip.decompress(data) if suffix else data).decode().splitlines()
        return (SHIPPED / name).read_text().splitlines()

    return read
