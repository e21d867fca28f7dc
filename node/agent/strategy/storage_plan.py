"""Plan all storages of a community over a horizon: powers, levels and the worth of what is stored."""

from dataclasses import dataclass

import numpy as np

from node.agent.strategy.errors import InvalidStorage
from node.agent.strategy.outlook import Floats, Outlook
from node.agent.strategy.storages import StorageCalendar, StorageFleet
from node.agent.strategy.stored_value import StoredValue, StoredWorth, act, bin_borders, value_stored_energy
from node.agent.strategy.worth import penalty_micro_per_kwh, worth_steps

# First guess of converter load, before a plan exists: the middle of the flat part of converters' curves.
TYPICAL_LOAD_PU = 0.5


@dataclass(frozen=True, slots=True)
class StoragePlan:
    """What the storages intend, and the value table from which they answer when things turn out otherwise.

    Attributes
    ----------
    first : int
        Index of the first interval.
    hours : float
        Length of an interval.
    value : StoredValue
        Marginal value of stored energy at every time and level.
    power_w : Floats
        Planned mean power at the terminal, > 0 injects, `(n_storages, n_intervals)`.
    energy_wh : Floats
        Planned level at the borders of the intervals, `(n_storages, n_intervals + 1)`.
    charge_efficiency_pu, discharge_efficiency_pu : Floats
        Efficiencies at planned power, `(n_storages,)`.
    """

    first: int
    hours: float
    value: StoredValue
    power_w: Floats
    energy_wh: Floats
    charge_efficiency_pu: Floats
    discharge_efficiency_pu: Floats

    @property
    def n_intervals(self) -> int:
        """Number of intervals planned."""
        return int(self.power_w.shape[1])


def plan_storages(
    fleet: StorageFleet,
    calendar: StorageCalendar,
    outlook: Outlook,
    energy_wh: Floats,
    previous: StoragePlan | None = None,
) -> StoragePlan:
    """Plan from the levels `energy_wh` (n_storages,) at the start of the horizon.

    Parameters
    ----------
    previous : StoragePlan | None
        An earlier plan of the same storages, from which the converters' usual load is known.

    Raises
    ------
    InvalidStorage
        If the calendar, the levels or the owners do not fit fleet and outlook.
    """
    check_fit(fleet, calendar, outlook, energy_wh)
    efficiencies = usual_efficiencies_pu(fleet, previous)
    steps = worth_steps(fleet, calendar, outlook)
    value = value_stored_energy(fleet, calendar, outlook, steps, efficiencies)
    worth = StoredWorth.of(fleet, calendar, outlook, steps, efficiencies)
    return _plan_forward(fleet, outlook, energy_wh, value, worth, efficiencies)


def plan_myopically(
    fleet: StorageFleet, calendar: StorageCalendar, outlook: Outlook, energy_wh: Floats
) -> StoragePlan:
    """Plan without looking ahead: stored energy is always worth the middle of the supplier's two tariffs.

    The yardstick that looking ahead has to beat: such a storage takes surplus when there is some and gives
    it back at the first need.
    """
    check_fit(fleet, calendar, outlook, energy_wh)
    efficiencies = usual_efficiencies_pu(fleet, None)
    borders = bin_borders(fleet)
    a = fleet.account
    middle = 0.5 * (outlook.short_micro_per_kwh[a] + outlook.long_micro_per_kwh[a]).mean(axis=1)
    slopes = np.empty((outlook.n_intervals + 1, len(fleet), borders.shape[1] - 1))
    slopes[:] = middle[None, :, None]
    slopes[:, :, 0] += penalty_micro_per_kwh(outlook) * (fleet.reserve_wh > 0)
    steps = worth_steps(fleet, calendar, outlook)
    worth = StoredWorth.of(fleet, calendar, outlook, steps, efficiencies)
    return _plan_forward(fleet, outlook, energy_wh, StoredValue(borders, slopes), worth, efficiencies)


def _plan_forward(
    fleet: StorageFleet,
    outlook: Outlook,
    energy_wh: Floats,
    value: StoredValue,
    worth: StoredWorth,
    efficiencies: tuple[Floats, Floats],
) -> StoragePlan:
    """Follow the value table forward in time."""
    eta_in, eta_out = efficiencies
    penalty = penalty_micro_per_kwh(outlook)
    horizon = outlook.n_intervals
    levels = np.empty((len(fleet), horizon + 1))
    power = np.empty((len(fleet), horizon))
    levels[:, 0] = energy_wh
    for k in range(horizon):
        taken, _, left = act(
            levels[:, k : k + 1], value.borders_wh, value.slopes_micro_per_kwh[k + 1], worth, k, penalty
        )
        levels[:, k + 1] = np.minimum(left[:, 0], fleet.capacity_wh)
        out = taken[:, 0]
        power[:, k] = np.where(out > 0, out * eta_out, out / eta_in) / outlook.hours
    return StoragePlan(outlook.first, outlook.hours, value, power, levels, eta_in, eta_out)


def usual_efficiencies_pu(fleet: StorageFleet, previous: StoragePlan | None) -> tuple[Floats, Floats]:
    """Return charge and discharge efficiency at the mean power at which the earlier plan moved energy."""
    typical = TYPICAL_LOAD_PU * np.maximum(fleet.p_charge_max_w, fleet.p_discharge_max_w)
    if previous is None:
        return fleet.efficiencies_pu(typical)
    moved = np.abs(previous.power_w)
    is_active = moved > 0
    count = is_active.sum(axis=1)
    return fleet.efficiencies_pu(np.where(count > 0, moved.sum(axis=1) / np.maximum(count, 1), typical))


def check_fit(fleet: StorageFleet, calendar: StorageCalendar, outlook: Outlook, energy_wh: Floats) -> None:
    """Refuse a calendar, levels or owners that do not fit fleet and outlook."""
    n, horizon = len(fleet), outlook.n_intervals
    if horizon < 1:
        raise InvalidStorage("the outlook has no interval: need at least one to plan for")
    for name in ("is_present", "required_wh", "trip_wh"):
        if getattr(calendar, name).shape != (n, horizon):
            raise InvalidStorage(f"{name} has shape {getattr(calendar, name).shape}: need ({n}, {horizon})")
    if energy_wh.shape != (n,):
        raise InvalidStorage(f"energy_wh has shape {energy_wh.shape}: need ({n},), a level per storage")
    is_bad = (
        ~np.isfinite(energy_wh) | (energy_wh < -1e-6) | (energy_wh > fleet.capacity_wh * (1 + 1e-9) + 1e-6)
    )
    if is_bad.any():
        row = int(np.argmax(is_bad))
        raise InvalidStorage(
            f"energy_wh of storage {row} is {energy_wh[row]}: "
            f"need 0 to its capacity, {fleet.capacity_wh[row]}"
        )
    if n and int(fleet.account.max()) >= outlook.n_accounts:
        raise InvalidStorage(
            f"account of a storage is row {int(fleet.account.max())}: "
            f"the outlook has {outlook.n_accounts} accounts"
        )
