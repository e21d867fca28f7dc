"""Timeslots: whether intervals are traded together where price and demand are calm."""

from typing import Annotated

from pydantic import Field

from node.scenario.fields import Strict


class Timeslots(Strict):
    """Runs of 1 to 4 intervals inside an hour, announced an hour before the day-ahead gate.

    Intervals are traded together while price and demand expected inside the run differ by at most `volatility_max`
    of the day's mean.
    """

    volatility_max: Annotated[float, Field(ge=0, le=10)] = 0.1
