"""What is wrong in a scenario, and where."""

from dataclasses import dataclass

Location = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Mistake:
    """Something wrong at a place in the scenario, and what was expected there."""

    location: Location
    message: str


class Inconsistent(ValueError):
    """Fields that are fine alone do not fit together; `.mistakes` has all of them."""

    def __init__(self, mistakes: list[Mistake]) -> None:
        super().__init__("; ".join(f"{'.'.join(map(str, m.location))}: {m.message}" for m in mistakes))
        self.mistakes = mistakes
