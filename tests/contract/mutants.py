"""Contracts with one fault each, to see which tests notice.

A mutant is a text of a source and what stands there instead. Each is a fault that somebody could have made:
an assert left out, a bound off by one, a wrong sign, a field forgotten.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

from node.chain.contracts import SOURCES, Contracts, compile_contracts


@dataclass(frozen=True)
class Mutant:
    """A source in which `before`, which stands there once, reads `after`."""

    name: str
    source: str
    before: str
    after: str
    is_left_to_scenes: bool = False  # the stateful test hardly ever meets it

    def places(self) -> int:
        """Return how often the text stands in the source; it must be once."""
        return (SOURCES / f"{self.source}.vy").read_text().count(self.before)

    def compiled(self, folder: Path) -> Contracts:
        """Compile the contracts with this fault."""
        shutil.copytree(SOURCES, folder, dirs_exist_ok=True)
        path = folder / f"{self.source}.vy"
        path.write_text(path.read_text().replace(self.before, self.after))
        return compile_contracts(sources=folder)


def without(name: str, source: str, line: str) -> Mutant:
    """Return a mutant that leaves a line out."""
    return Mutant(name, source, line, "pass")
