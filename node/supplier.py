"""The supplier's tariff of a scenario, interval by interval: what it charges, and what it pays."""

from datetime import time

import numpy as np
from numpy.typing import NDArray

from market.tariffs import TariffSeries, TimeOfUse, Window, ZoneTariff
from node.scenario import Scenario


def zone_tariff(scenario: Scenario) -> ZoneTariff:
    """Return the tariff that the market settles imbalance at.

    Levies are left out: they are due on metered import whoever sold the energy, and are collected outside.
    """
    windows = scenario.tariff.short_price_windows
    starts = [0, *(window.start for window in windows[1:])]
    ends = [*starts[1:], 0]
    return ZoneTariff(
        scenario.zone,
        energy=TimeOfUse(
            tuple(
                Window(window.price_micro_per_kwh, _clock(start), _clock(end))
                for window, start, end in zip(windows, starts, ends, strict=True)
            )
        ),
        feed_in=TimeOfUse.flat(scenario.tariff.long_price_micro_per_kwh),
    )


def _clock(minute_of_day: int) -> time:
    return time(minute_of_day // 60 % 24, minute_of_day % 60)


class Supplier:
    """Tariffs over intervals, remembered once asked for."""

    def __init__(self, scenario: Scenario) -> None:
        self._tariff = zone_tariff(scenario)
        self._grid = scenario.grid
        self._series: dict[range, TariffSeries] = {}

    def prices(self, intervals: range) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return short and long price, micro-credit per kWh, `(n_intervals,)` each."""
        if intervals not in self._series:
            if len(self._series) > 64:
                self._series.clear()
            self._series[intervals] = self._tariff.series(self._grid, intervals)
        series = self._series[intervals]
        return series.short_micro_per_kwh, series.long_micro_per_kwh
