"""The supplier's tariff of a scenario, interval by interval and zone by zone: what it charges, and what it pays."""

from collections.abc import Sequence
from datetime import time

import numpy as np
from numpy.typing import NDArray

from market.chunks import Tariff
from market.tariffs import IslandPrices, TariffSeries, TimeOfUse, Window, ZoneTariff, tables
from node.scenario import Scenario
from node.scenario.models import PriceWindow


def zone_tariff(scenario: Scenario) -> ZoneTariff:
    """Return the tariff that the market settles imbalance at.

    Levies are left out: they are due on metered import whoever sold the energy, and are collected outside.
    """
    return ZoneTariff(
        scenario.zone,
        energy=_by_hours(scenario.tariff.short_price_windows),
        feed_in=TimeOfUse.flat(scenario.tariff.long_price_micro_per_kwh),
        island=None
        if scenario.tariff.island is None
        else IslandPrices(
            scenario.tariff.island.short_price_micro_per_kwh, scenario.tariff.island.long_price_micro_per_kwh
        ),
    )


def levy_tariff(scenario: Scenario) -> ZoneTariff:
    """Return the levies by time, as a tariff of their own."""
    tariff = scenario.tariff
    flat = TimeOfUse.flat(tariff.levies_micro_per_kwh)
    return ZoneTariff(scenario.zone, energy=_by_hours(tariff.levy_windows) if tariff.levy_windows else flat)


def _by_hours(windows: Sequence[PriceWindow]) -> TimeOfUse:
    """Return prices that hold from one window's start until the next one's."""
    starts = [0, *(window.start for window in windows[1:])]
    ends = [*starts[1:], 0]
    return TimeOfUse(
        tuple(
            Window(window.price_micro_per_kwh, _clock(start), _clock(end))
            for window, start, end in zip(windows, starts, ends, strict=True)
        )
    )


def _clock(minute_of_day: int) -> time:
    return time(minute_of_day // 60 % 24, minute_of_day % 60)


class Supplier:
    """Tariffs over intervals, remembered once asked for."""

    def __init__(self, scenario: Scenario) -> None:
        self._tariff = zone_tariff(scenario)
        self._levies = levy_tariff(scenario)
        self._grid = scenario.grid
        self._series: dict[range, TariffSeries] = {}

    @property
    def has_island_prices(self) -> bool:
        """Whether zones without the supplier have prices of their own; else its tariff goes on."""
        return self._tariff.island is not None

    @property
    def island(self) -> tuple[int, int] | None:
        """Short and long price of imbalance where the supplier is away, micro-credit per kWh; None: its own."""
        island = self._tariff.island
        return None if island is None else (island.short_micro_per_kwh, island.long_micro_per_kwh)

    def prices(self, intervals: range) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return short and long price, micro-credit per kWh, `(n_intervals,)` each."""
        if intervals not in self._series:
            if len(self._series) > 64:
                self._series.clear()
            self._series[intervals] = self._tariff.series(self._grid, intervals)
        series = self._series[intervals]
        return series.short_micro_per_kwh, series.long_micro_per_kwh

    def levies(self, intervals: range) -> NDArray[np.int64]:
        """Return the levies on metered import, micro-credit per kWh, `(n_intervals,)`."""
        return self._levies.series(self._grid, intervals).energy_micro_per_kwh

    def table(self, interval: int, is_islanded: NDArray[np.bool_]) -> tuple[Tariff, ...]:
        """Return the tariff of each zone in an interval: the supplier's, or the island's where it was away.

        Parameters
        ----------
        is_islanded : NDArray[np.bool_]
            Zones that were cut off from the supplier for the whole interval, `(n_zones,)`.
        """
        cut = is_islanded & self.has_island_prices
        zones = [
            self._tariff.series(self._grid, range(interval, interval + 1), cut[z : z + 1])
            for z in range(cut.size)
        ]
        return tables(zones)[0]
