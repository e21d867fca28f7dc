"""The vocabulary of scenario fields: strict, frozen models and constrained quantities in physical units."""

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

from market.units import MAX_PRICE_MICRO_PER_KWH

MINUTES_PER_DAY = 1_440


class Strict(BaseModel):
    """Base of all scenario models: frozen, unknown fields refused, no value silently converted."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def _minutes_of_day(value: object) -> object:
    """Turn a local wall-clock time `HH:MM` (00:00 to 24:00) into minutes since local midnight."""
    if isinstance(value, str) and len(value) == 5 and value[2] == ":":
        hour, minute = value[:2], value[3:]
        if hour.isdecimal() and minute.isdecimal() and int(minute) < 60:
            minutes = int(hour) * 60 + int(minute)
            if minutes <= MINUTES_PER_DAY:
                return minutes
    raise ValueError("expected a local time HH:MM between 00:00 and 24:00")


def _clock_text(minutes: int) -> str:
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,47}$")]
ProfileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,79}$")]
LocalMinutes = Annotated[
    int,
    BeforeValidator(_minutes_of_day),
    PlainSerializer(_clock_text),
    Field(json_schema_extra={"type": "string", "pattern": r"^([01]\d|2[0-3]):[0-5]\d$|^24:00$"}),
]
Price = Annotated[int, Field(ge=-MAX_PRICE_MICRO_PER_KWH, le=MAX_PRICE_MICRO_PER_KWH)]
PositivePrice = Annotated[int, Field(ge=0, le=MAX_PRICE_MICRO_PER_KWH)]
Power = Annotated[float, Field(gt=0, le=1e9)]
PowerOrZero = Annotated[float, Field(ge=0, le=1e9)]
Energy = Annotated[float, Field(gt=0, le=1e9)]
EnergyOrZero = Annotated[float, Field(ge=0, le=1e9)]
Fraction = Annotated[float, Field(ge=0, le=1)]
