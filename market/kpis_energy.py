"""Energy KPIs of a community: where its energy came from, and how much of it was its own.

Conventions: energies in Wh per interval, `(n_intervals,)`, all >= 0, summed over the community. A ratio whose
denominator is zero is None: nothing can be said, and nothing is pretended.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from market.errors import MarketError

FloatArray = NDArray[np.float64]

SECONDS_PER_HOUR: Final = 3600.0


@dataclass(frozen=True, slots=True)
class EnergyBook:
    """Energy by source and by sink, Wh, and what is left between the two.

    `gap_wh = sum(sources) - sum(sinks)`; `gap_share = |gap| / max(sum(sources), sum(sinks))`.
    """

    sources_wh: Mapping[str, float]
    sinks_wh: Mapping[str, float]

    @property
    def gap_wh(self) -> float:
        """What the sources gave and no sink took."""
        return sum(self.sources_wh.values()) - sum(self.sinks_wh.values())

    @property
    def gap_share(self) -> float:
        """The gap as a share of all energy; zero for an empty book."""
        scale = max(sum(self.sources_wh.values()), sum(self.sinks_wh.values()))
        return abs(self.gap_wh) / scale if scale else 0.0


@dataclass(frozen=True, slots=True)
class OwnUse:
    """How much of the community's generation served its own loads, Wh.

    Attributes
    ----------
    direct_wh : float
        In the interval of generation: `sum_t min(source_t, load_t)`.
    through_storage_wh : float
        Later, credited when storage discharges to a local load.
    source_wh, load_wh : float
        All that was generated and consumed.
    """

    direct_wh: float
    through_storage_wh: float
    source_wh: float
    load_wh: float

    @property
    def self_consumption(self) -> float | None:
        """`(direct + through storage) / source`: the share of own generation that own loads used."""
        return _ratio(self.direct_wh + self.through_storage_wh, self.source_wh)

    @property
    def self_sufficiency(self) -> float | None:
        """`(direct + through storage) / load`: the share of consumption that own generation served."""
        return _ratio(self.direct_wh + self.through_storage_wh, self.load_wh)


def own_use(
    source_wh: FloatArray,
    load_wh: FloatArray,
    charged_wh: FloatArray,
    discharged_wh: FloatArray,
    stored_at_start_wh: float = 0.0,
    round_trip_efficiency: float = 1.0,
) -> OwnUse:
    """Follow own generation through loads and storage.

    Parameters
    ----------
    source_wh, load_wh : FloatArray
        Generation and consumption, `(n_intervals,)`.
    charged_wh, discharged_wh : FloatArray
        At the storages' terminals, `(n_intervals,)`.
    stored_at_start_wh : float
        What could still be discharged at the start; of unknown origin, so it counts as not own.
    round_trip_efficiency : float
        Energy out per energy in, 0..1.

    Notes
    -----
    In each interval generation serves loads first, then charges storage, so of what is charged
    `min(charged, source - direct)` is own. The store is a mixture: what is discharged holds own energy in the
    proportion of the content, and is credited up to the load that generation left unserved. Own energy that
    is discharged beyond that (exported) earns no credit.
    """
    _same_length(source_wh=source_wh, load_wh=load_wh, charged_wh=charged_wh, discharged_wh=discharged_wh)
    direct_wh = np.minimum(source_wh, load_wh)
    own_charge_wh = np.minimum(charged_wh, source_wh - direct_wh) * round_trip_efficiency
    other_charge_wh = charged_wh * round_trip_efficiency - own_charge_wh
    unserved_by_sources_wh = load_wh - direct_wh
    own_wh, other_wh, credited_wh = 0.0, stored_at_start_wh, 0.0
    rows = zip(
        own_charge_wh.tolist(),
        other_charge_wh.tolist(),
        discharged_wh.tolist(),
        unserved_by_sources_wh.tolist(),
        strict=True,
    )
    for own_in_wh, other_in_wh, out_wh, wanted_wh in rows:
        own_wh += own_in_wh
        other_wh += other_in_wh
        content_wh = own_wh + other_wh
        if out_wh <= 0.0 or content_wh <= 0.0:
            continue
        own_share = own_wh / content_wh
        credited_wh += min(out_wh, wanted_wh, content_wh) * own_share
        left = max(0.0, 1.0 - out_wh / content_wh)
        own_wh, other_wh = own_wh * left, other_wh * left
    return OwnUse(float(direct_wh.sum()), credited_wh, float(source_wh.sum()), float(load_wh.sum()))


def autarky(imported_wh: FloatArray, tolerance_wh: float = 1e-6) -> float | None:
    """Return the share of intervals in which the community imported nothing.

    `autarky = |{t : import_t <= tolerance}| / n_intervals`: a share of time, where self-sufficiency is one of
    energy.
    """
    return _ratio(float((imported_wh <= tolerance_wh).sum()), float(imported_wh.size))


@dataclass(frozen=True, slots=True)
class Peaks:
    """Highest mean power of an interval, W, and the change against a baseline (negative: the peak is lower)."""

    import_w: float
    export_w: float
    baseline_import_w: float
    baseline_export_w: float

    @property
    def import_change(self) -> float | None:
        """`import / baseline import - 1`."""
        return _change(self.import_w, self.baseline_import_w)

    @property
    def export_change(self) -> float | None:
        """`export / baseline export - 1`."""
        return _change(self.export_w, self.baseline_export_w)


def peaks(
    imported_wh: FloatArray,
    exported_wh: FloatArray,
    baseline_imported_wh: FloatArray,
    baseline_exported_wh: FloatArray,
    length_s: float,
) -> Peaks:
    """Return peak import and export at the community's root: `max_t energy_t * 3600 / length`."""
    series = (imported_wh, exported_wh, baseline_imported_wh, baseline_exported_wh)
    return Peaks(*(float(s.max(initial=0.0)) * SECONDS_PER_HOUR / length_s for s in series))


def emissions_g(imported_wh: FloatArray, factor_g_per_kwh: FloatArray | float) -> float:
    """Return the CO2 of imported energy, g: `sum_t import_t / 1000 * factor_t`, the factor from the scenario."""
    return float((imported_wh / 1000.0 * factor_g_per_kwh).sum())


def by_class(energy_wh: FloatArray, class_index: NDArray[np.int64], n_classes: int) -> FloatArray:
    """Return energy per class, `(n_classes,)` Wh: curtailed or unserved energy by priority.

    Parameters
    ----------
    energy_wh : FloatArray
        Per device over the whole time, `(n_devices,)`.
    class_index : NDArray[np.int64]
        Class of each device, `(n_devices,)` in `0..n_classes-1`.
    """
    _same_length(energy_wh=energy_wh, class_index=class_index)
    return np.asarray(np.bincount(class_index, weights=energy_wh, minlength=n_classes), np.float64)


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole > 0 else None


def _change(value: float, baseline: float) -> float | None:
    return value / baseline - 1.0 if baseline > 0 else None


def _same_length(**arrays: NDArray[np.generic]) -> None:
    sizes = {name: array.shape for name, array in arrays.items()}
    if len(set(sizes.values())) > 1:
        raise MarketError(f"arrays differ in shape: {sizes}")
