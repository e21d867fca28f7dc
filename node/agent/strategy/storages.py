"""Storages as the strategy knows them: whose they are, what they hold, what they can do and what it costs."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from node.agent.strategy.errors import InvalidStorage

Floats = NDArray[np.float64]

_FLAT = np.array([0.0, 1.0])


@dataclass(frozen=True, slots=True)
class StorageFleet:
    """Parameters of all storages of a community, arrays `(n_storages,)`.

    Attributes
    ----------
    account : NDArray[np.int64]
        Row of the account (in the outlook's arrays) that owns the storage.
    capacity_wh, reserve_wh : Floats
        Usable energy, and the part of it that neither market nor supplier gets.
    p_charge_max_w, p_discharge_max_w : Floats
        Greatest power at the AC terminal, both >= 0.
    charge_efficiency_pu, discharge_efficiency_pu : Floats
        Stored per withdrawn, and injected per taken from store, at rated converter efficiency.
    wear_micro_per_kwh : Floats
        Cost of wear per kWh discharged at the terminal.
    markup_micro_per_kwh : Floats
        Gain that the owner asks for per kWh charged and per kWh discharged.
    self_discharge_w : Floats
        What the storage loses by itself.
    converter_load_pu : Floats
        Load points `(n_points,)`, rising, of the converter's efficiency curve.
    converter_efficiency_pu : Floats
        Efficiency at those points, relative to rated, `(n_storages, n_points)`; multiplies both efficiencies.

    Raises
    ------
    InvalidStorage
        If shapes differ, or a value is not finite or outside its range.
    """

    account: NDArray[np.int64]
    capacity_wh: Floats
    reserve_wh: Floats
    p_charge_max_w: Floats
    p_discharge_max_w: Floats
    charge_efficiency_pu: Floats
    discharge_efficiency_pu: Floats
    wear_micro_per_kwh: Floats
    markup_micro_per_kwh: Floats
    self_discharge_w: Floats
    converter_load_pu: Floats = field(default_factory=_FLAT.copy)
    converter_efficiency_pu: Floats | None = None

    def __post_init__(self) -> None:
        n = self.account.size
        if self.account.shape != (n,) or self.account.dtype.kind != "i":
            raise InvalidStorage(
                f"account has shape {self.account.shape} and type {self.account.dtype}: need whole rows, (n,)"
            )
        for name in (
            "capacity_wh",
            "reserve_wh",
            "p_charge_max_w",
            "p_discharge_max_w",
            "charge_efficiency_pu",
            "discharge_efficiency_pu",
            "wear_micro_per_kwh",
            "markup_micro_per_kwh",
            "self_discharge_w",
        ):
            values = getattr(self, name)
            if values.shape != (n,):
                raise InvalidStorage(f"{name} has shape {values.shape}: need ({n},) like account")
            _refuse(~np.isfinite(values) | (values < 0), name, values, "a finite number >= 0")
        _refuse(self.account < 0, "account", self.account, "a row >= 0")
        _refuse(self.capacity_wh <= 0, "capacity_wh", self.capacity_wh, "more than 0")
        _refuse(self.reserve_wh > self.capacity_wh, "reserve_wh", self.reserve_wh, "at most the capacity")
        for name in ("charge_efficiency_pu", "discharge_efficiency_pu"):
            values = getattr(self, name)
            _refuse((values <= 0) | (values > 1), name, values, "more than 0, at most 1")
        curve = self.converter_efficiency_pu
        if curve is not None:
            if curve.shape != (n, self.converter_load_pu.size):
                raise InvalidStorage(
                    f"converter_efficiency_pu has shape {curve.shape}: need ({n}, "
                    f"{self.converter_load_pu.size}), a value per storage and load point"
                )
            _refuse(
                ~((curve > 0) & (curve <= 1.5)).all(axis=1),
                "converter_efficiency_pu",
                curve,
                "above 0, at most 1.5",
            )

    def __len__(self) -> int:
        return int(self.account.size)

    def efficiencies_pu(self, p_w: Floats) -> tuple[Floats, Floats]:
        """Return charge and discharge efficiency at terminal power `p_w` (n_storages,), either sign.

        Notes
        -----
        The converter's efficiency is interpolated linearly between load points; both results are capped at 1.
        """
        if self.converter_efficiency_pu is None:
            return self.charge_efficiency_pu, self.discharge_efficiency_pu
        p_rated_w = np.maximum(np.maximum(self.p_charge_max_w, self.p_discharge_max_w), 1e-9)
        load_pu = np.clip(np.abs(p_w) / p_rated_w, self.converter_load_pu[0], self.converter_load_pu[-1])
        right = np.clip(np.searchsorted(self.converter_load_pu, load_pu), 1, self.converter_load_pu.size - 1)
        x0, x1 = self.converter_load_pu[right - 1], self.converter_load_pu[right]
        rows = np.arange(len(self))
        y0 = self.converter_efficiency_pu[rows, right - 1]
        y1 = self.converter_efficiency_pu[rows, right]
        relative = y0 + (y1 - y0) * (load_pu - x0) / np.maximum(x1 - x0, 1e-12)
        return (
            np.minimum(self.charge_efficiency_pu * relative, 1.0),
            np.minimum(self.discharge_efficiency_pu * relative, 1.0),
        )


@dataclass(frozen=True, slots=True)
class StorageCalendar:
    """When storages are plugged in, and what they must hold and will spend, `(n_storages, n_intervals)`.

    Attributes
    ----------
    is_present : NDArray[np.bool_]
        Whether the storage is connected for the whole interval.
    required_wh : Floats
        Energy it must hold at the end of the interval (an EV at departure), 0 if nothing is required.
    trip_wh : Floats
        Energy that leaves the store during the interval other than through its terminal (driving).
    """

    is_present: NDArray[np.bool_]
    required_wh: Floats
    trip_wh: Floats

    @classmethod
    def always_present(cls, n_storages: int, n_intervals: int) -> "StorageCalendar":
        """Return the calendar of storages that never leave and owe nothing."""
        shape = (n_storages, n_intervals)
        return cls(np.ones(shape, dtype=bool), np.zeros(shape), np.zeros(shape))


def _refuse(is_bad: NDArray[np.bool_] | np.bool_, name: str, values: NDArray[np.generic], need: str) -> None:
    if is_bad.any():
        row = int(np.argmax(is_bad))
        raise InvalidStorage(f"{name} of storage {row} is {values[row]}: need {need}")
