"""Marginal value of stored energy by dynamic programming, for all storages of a community at once.

The value of holding energy `e` at time `t` is concave and piecewise linear; it is kept by its slopes on fixed
bins (the reserve is the lowest bin). One step back in time takes, from every border of a bin, the best of
charging and discharging along the worth steps: never both. The table answers for every state of charge, so a
storage that deviates from its plan needs no new plan, only another row.

References
----------
Value of stored energy by backward recursion: E. Barbour et al., "Towards an objective method to compare
energy storage technologies", Energy Environ. Sci. 5 (2012); water values: S. Stage, Y. Larsson, "Incremental
cost of water power", AIEE Trans. 80 (1961).
"""

from dataclasses import dataclass

import numpy as np

from node.agent.strategy.outlook import Floats, Outlook
from node.agent.strategy.storages import StorageCalendar, StorageFleet
from node.agent.strategy.worth import WorthSteps, penalty_micro_per_kwh

# Bins of usable energy: a 10 kWh battery is resolved to 0.3 kWh, a quarter of what 5 kW move in 15 minutes.
# Ten homes' cost above the pooled optimum, time-of-use tariff and losses: 13 bins 0.7 %, 25 bins 0.4 %,
# 49 bins 0.3 %.
N_BINS = 33
# Smallest width of the reserve bin relative to capacity: storages without reserve need no special case.
MIN_BIN_PU = 1e-6
# Prices closer than this (micro-credit per kWh) are equal: at equal worth, act now rather than later.
TIE_MICRO_PER_KWH = 1.0
# Energy left at the end of the horizon is worth slightly less than the cheapest way to get it back, so that
# holding it never pays for itself and dumping it pays only where it would be dumped anyway.
END_VALUE_PU = 0.999


@dataclass(frozen=True, slots=True)
class StoredValue:
    """Value of stored energy at every time of a horizon.

    Attributes
    ----------
    borders_wh : Floats
        Borders of the bins, `(n_storages, n_bins + 1)`, from empty to full.
    slopes_micro_per_kwh : Floats
        Marginal value of stored energy per bin at the start of interval k (the last row: at the end of the
        horizon), `(n_intervals + 1, n_storages, n_bins)`.
    """

    borders_wh: Floats
    slopes_micro_per_kwh: Floats

    def mean_between(self, k: int, low_wh: Floats, high_wh: Floats) -> Floats:
        """Return the mean marginal value between two levels at the start of interval `k`, `(n_storages,)`."""
        slopes = self.slopes_micro_per_kwh[k]
        wide = np.maximum(high_wh - low_wh, 1e-6 * self.borders_wh[:, -1])
        high_wh = np.minimum(low_wh + wide, self.borders_wh[:, -1])
        low_wh = high_wh - wide
        lower = np.maximum(self.borders_wh[:, :-1], low_wh[:, None])
        upper = np.minimum(self.borders_wh[:, 1:], high_wh[:, None])
        mean: Floats = (slopes * np.maximum(upper - lower, 0.0)).sum(axis=1) / wide
        return mean

    def level_worth(self, k: int, price_micro_per_kwh: Floats) -> Floats:
        """Return the level up to which stored energy is worth more than a price, `(n_storages,)`."""
        widths = np.diff(self.borders_wh, axis=1)
        is_above = self.slopes_micro_per_kwh[k] > price_micro_per_kwh[:, None]
        level: Floats = (widths * is_above).sum(axis=1)
        return level


def bin_borders(fleet: StorageFleet, n_bins: int = N_BINS) -> Floats:
    """Return the bins' borders `(n_storages, n_bins + 1)`: the reserve, then the rest in equal parts."""
    reserve = np.maximum(fleet.reserve_wh, MIN_BIN_PU * fleet.capacity_wh)
    reserve = np.minimum(reserve, (1 - MIN_BIN_PU) * fleet.capacity_wh)
    usable = (
        np.linspace(0.0, 1.0, n_bins)[None, :] * (fleet.capacity_wh - reserve)[:, None] + reserve[:, None]
    )
    return np.concatenate([np.zeros((len(fleet), 1)), usable], axis=1)


def value_stored_energy(
    fleet: StorageFleet,
    calendar: StorageCalendar,
    outlook: Outlook,
    steps: WorthSteps,
    efficiencies_pu: tuple[Floats, Floats],
    n_bins: int = N_BINS,
) -> StoredValue:
    """Return the value table of every storage over the outlook's horizon.

    Parameters
    ----------
    efficiencies_pu : tuple[Floats, Floats]
        Charge and discharge efficiency at the power that is expected, `(n_storages,)` each.

    Notes
    -----
    Cost grows with `n_intervals * n_storages * n_bins`. Energy below the reserve, below what is required at
    departure, or missing on a trip costs `penalty_micro_per_kwh`.
    """
    borders = bin_borders(fleet, n_bins)
    widths = np.diff(borders, axis=1)
    penalty = penalty_micro_per_kwh(outlook)
    worth = StoredWorth.of(fleet, calendar, outlook, steps, efficiencies_pu)
    slopes = np.empty((outlook.n_intervals + 1, len(fleet), n_bins))
    slopes[-1] = worth.end_value[:, None]
    owed = penalty * (fleet.reserve_wh > 0)
    slopes[-1, :, 0] += owed
    for k in range(outlook.n_intervals - 1, -1, -1):
        after = slopes[k + 1].copy()
        required = calendar.required_wh[:, k]
        if required.any():
            missing = np.clip(required[:, None] - borders[:, :-1], 0.0, widths) / widths
            missing[:, 0] = 0.0
            after += penalty * missing
            slopes[k + 1] = after
        _, gain, left = act(borders, borders, after, worth, k, penalty)
        value = gain + _value_at(borders, after, left)
        slopes[k] = np.diff(value, axis=1) / widths
        slopes[k, :, 0] = np.maximum(slopes[k, :, 0], owed)
    return StoredValue(borders, slopes)


@dataclass(frozen=True, slots=True)
class StoredWorth:
    """Worth steps seen from inside the store: per stored energy, after losses and wear.

    Attributes
    ----------
    discharge_wh, discharge_value, charge_wh, charge_value : Floats
        As in `WorthSteps`, in stored Wh and micro-credit per stored kWh.
    drain_wh : Floats
        Self-discharge and trips, `(n_intervals, n_storages)`.
    end_value : Floats
        Marginal value at the end of the horizon, `(n_storages,)`.
    """

    discharge_wh: Floats
    discharge_value: Floats
    charge_wh: Floats
    charge_value: Floats
    drain_wh: Floats
    end_value: Floats

    @classmethod
    def of(
        cls,
        fleet: StorageFleet,
        calendar: StorageCalendar,
        outlook: Outlook,
        steps: WorthSteps,
        efficiencies_pu: tuple[Floats, Floats],
    ) -> "StoredWorth":
        """Convert terminal steps: value = (price - wear - markup) * eta out, (price + markup) / eta in."""
        eta_in, eta_out = (e[None, :, None] for e in efficiencies_pu)
        cost = (fleet.wear_micro_per_kwh + fleet.markup_micro_per_kwh)[None, :, None]
        charge_value = (steps.charge_micro_per_kwh + fleet.markup_micro_per_kwh[None, :, None]) / eta_in
        reachable = np.where(steps.charge_wh > 0, charge_value, np.inf)
        cheapest = reachable.min(axis=(0, 2), initial=np.inf)
        fallback = outlook.long_micro_per_kwh[fleet.account].min(axis=1, initial=np.inf)
        end_value = END_VALUE_PU * np.where(np.isfinite(cheapest), cheapest, fallback)
        return cls(
            discharge_wh=steps.discharge_wh / eta_out,
            discharge_value=(steps.discharge_micro_per_kwh - cost) * eta_out,
            charge_wh=steps.charge_wh * eta_in,
            charge_value=charge_value,
            drain_wh=(calendar.trip_wh + (fleet.self_discharge_w * outlook.hours)[:, None]).T,
            end_value=np.maximum(end_value, 0.0),
        )


def act(
    energy_wh: Floats, borders_wh: Floats, slopes: Floats, worth: StoredWorth, k: int, penalty: float
) -> tuple[Floats, Floats, Floats]:
    """Charge or discharge in interval `k` as far as it pays, from each of the levels given; never both.

    Parameters
    ----------
    energy_wh : Floats
        Levels at the start of the interval, `(n_storages, n_levels)`.
    borders_wh, slopes : Floats
        Marginal value per bin at the end of the interval.
    penalty : float
        Price of energy that drains away and is not there, micro-credit per kWh.

    Returns
    -------
    tuple[Floats, Floats, Floats]
        Stored energy taken out (negative: put in), what that and the drain are worth (Wh times micro-credit
        per kWh), and the level at the end; each shaped like `energy_wh`.

    Notes
    -----
    At equal worth energy moves now, because what is certain now may not come again; but where buying and
    selling cost the same, the storage rests instead of cycling for nothing.
    """
    widths = np.diff(borders_wh, axis=1)
    shape = energy_wh.shape
    drain = worth.drain_wh[k][:, None]
    spread = worth.charge_value[k, :, 0] - worth.discharge_value[k, :, 0]
    tie = np.where(spread > 2 * TIE_MICRO_PER_KWH, TIE_MICRO_PER_KWH, -TIE_MICRO_PER_KWH)[:, None]
    floor = drain + _levels(widths, slopes, worth.discharge_value[k] + tie)
    ceiling = drain + _levels(widths, slopes, worth.charge_value[k] - tie)
    out, gain, stock, cost = np.zeros(shape), np.zeros(shape), np.zeros(shape), np.zeros(shape)
    take, put = np.empty(shape), np.empty(shape)  # written over in every step
    # Most intervals have steps that no storage meets: an own surplus and an own need exclude each other.
    for j in np.flatnonzero(worth.discharge_wh[k].any(axis=0)).tolist():
        np.subtract(energy_wh, out, out=take)
        take -= floor[:, j, None]
        np.maximum(take, 0.0, out=take)
        np.minimum(take, worth.discharge_wh[k, :, j, None], out=take)
        out += take
        take *= worth.discharge_value[k, :, j, None]
        gain += take
    for j in np.flatnonzero(worth.charge_wh[k].any(axis=0)).tolist():
        np.subtract(ceiling[:, j, None], energy_wh, out=put)
        put -= stock
        np.maximum(put, 0.0, out=put)
        np.minimum(put, worth.charge_wh[k, :, j, None], out=put)
        stock += put
        put *= worth.charge_value[k, :, j, None]
        cost += put
    # Both can pay only at negative prices, where losing energy is a gain: the better direction wins.
    is_charging = (stock > 0) & ((out == 0) | (-cost > gain))
    taken = np.where(is_charging, -stock, out)
    left = energy_wh - taken - drain
    missing = np.maximum(-left, 0.0)
    return taken, np.where(is_charging, -cost, gain) - penalty * missing, left + missing


def _levels(widths: Floats, slopes: Floats, prices: Floats) -> Floats:
    """Return the level up to which energy is worth more than each price, `(n_storages, n_prices)`."""
    is_above: Floats = (slopes[:, None, :] > prices[:, :, None]).astype(np.float64)
    levels: Floats = np.matmul(is_above, widths[:, :, None])[:, :, 0]
    return levels


def _value_at(borders_wh: Floats, slopes: Floats, energy_wh: Floats) -> Floats:
    """Return the value of levels `(n_storages, n_levels)` under slopes on bins, by linear interpolation."""
    widths = np.diff(borders_wh, axis=1)
    values = np.concatenate([np.zeros((slopes.shape[0], 1)), np.cumsum(slopes * widths, axis=1)], axis=1)
    above_reserve = (energy_wh - borders_wh[:, 1:2]) / widths[:, -1:]
    last = slopes.shape[1] - 1
    bins = above_reserve.astype(np.int64)
    bins += 1
    np.maximum(bins, 1, out=bins)
    np.minimum(bins, last, out=bins)
    bins[above_reserve < 0] = 0
    row = np.arange(slopes.shape[0])[:, None]
    border = bins + row * borders_wh.shape[1]
    value: Floats = values.reshape(-1).take(border)
    rest = energy_wh - borders_wh.reshape(-1).take(border)
    bins += row * slopes.shape[1]
    rest *= slopes.reshape(-1).take(bins)
    value += rest
    return value
