"""What loads and sun of a local day are expected to be: as they were a week before, device by device.

The controller has the meters of the days before, and people's weeks repeat. Where history does not reach back a
week, a day; where not even that, nothing is expected to change.
"""

from datetime import UTC, datetime

import numpy as np

from devices.specification import Kind
from node.hub.voltage_records import Ahead
from node.profiles import ProfileSet
from node.world.plant import Plant

SECONDS_PER_DAY = 86_400


def expected_day(plant: Plant, profiles: ProfileSet, interval: int) -> Ahead:
    """Return the expectation for the local day in which an interval lies."""
    scenario = plant.scenario
    local = datetime.fromtimestamp(scenario.grid.start_s(interval), UTC).astimezone(scenario.zone)
    day = scenario.grid.of_local_day(local.date(), scenario.zone)
    columns = np.array([_column(profiles, one, interval, scenario.interval_s) for one in day])
    owner = plant.participant
    load = profiles.load_w[:, columns][owner] * plant.load_share_pu[:, None]
    is_solar = plant.fleet.kind == Kind.SOLAR
    solar = np.where(is_solar[:, None], profiles.solar_w[:, columns][owner], 0.0)
    return Ahead(local.date().toordinal(), interval - day.start, load.T, solar.T)


def _column(profiles: ProfileSet, interval: int, now: int, length_s: int) -> int:
    per_day = SECONDS_PER_DAY // length_s
    for days in (7, 1):
        column = interval - days * per_day - profiles.first
        if 0 <= column < profiles.load_w.shape[1]:
            return column
    return profiles.column(now)
