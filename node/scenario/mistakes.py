"""What is wrong in a scenario, and where."""

from dataclasses import dataclass

Location = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Mistake:
    """Something wrong at a place in the scenario, and what was expected there."""

    location: Location
    message: str
