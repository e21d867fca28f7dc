"""What docs/SCENARIO.md says is what the code does."""

import re
from pathlib import Path

import numpy as np

from node.profiles import servers, shipped
from node.profiles.csv_files import read_by_header
from node.scenario.models import Scenario

TEXT = (Path(__file__).parents[3] / "docs" / "SCENARIO.md").read_text(encoding="utf-8")


def test_every_section_of_the_format_is_described() -> None:
    table = TEXT[TEXT.index("## Sections") : TEXT.index("## Profiles")]
    named = set(re.findall(r"`([a-z_]+)`", table))
    assert set(Scenario.model_fields) <= named


def test_every_shipped_profile_is_named() -> None:
    paragraph = TEXT[TEXT.index("**Shipped**") : TEXT.index("A date of any year")]
    assert set(shipped.names()) == set(re.findall(r"\b(?:[HGL]\d-[A-Z]|PV\d)\b", paragraph))
    assert set(servers.servers().names) == set(re.findall(r"\bSRV-[A-Z]\b", TEXT))


def test_example_file_is_read_as_it_stands(tmp_path: Path) -> None:
    example = re.search(r"^    (time \[.*?)\n\n", TEXT, re.MULTILINE | re.DOTALL)
    assert example is not None
    path = tmp_path / "mine.csv"
    path.write_text(re.sub(r"^ +", "", example[1], flags=re.MULTILINE))
    house, roof = read_by_header(path)
    np.testing.assert_allclose(house.values, [448, 392])  # 0.112 and 0.098 kWh in a quarter hour
    assert roof.is_per_unit
