"""Homes made from one template, so that one scenario file serves ten homes and a thousand."""

from random import Random
from typing import Any

from node.scenario.models import GeneratedHomes

# How many equal profiles of one name are told apart by taking them from other weeks (node/profiles: the
# shipped extract has four weeks a season).
DISTINCT_WEEKS = 4


def expand(homes: GeneratedHomes) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the nodes and participants that a template stands for, as a scenario file would hold them.

    Home k (from 1) has solar if `solar_every` divides k and a battery if `battery_every` does. Sizes are
    drawn uniformly between the template's bounds by a generator seeded with `homes.seed` and k alone, so
    the first hundred of a thousand homes are the same hundred.
    """
    cables = -(-homes.count // homes.homes_per_cable)
    nodes = [
        {
            "id": f"cable-{c + 1:04d}",
            "parent": homes.parent,
            "kind": "cable",
            "import_cap_w": homes.cable_import_cap_w,
            "export_cap_w": homes.cable_export_cap_w,
        }
        for c in range(cables)
    ]
    return nodes, [_home(homes, k) for k in range(1, homes.count + 1)]


def _home(homes: GeneratedHomes, k: int) -> dict[str, Any]:
    random = Random(homes.seed * 1_000_003 + k)
    profile_at = k - 1
    home: dict[str, Any] = {
        "id": f"home-{k:05d}",
        "name": f"Home {k}",
        "kind": "home",
        "node": f"cable-{(k - 1) // homes.homes_per_cable + 1:04d}",
        "connection_capacity_w": homes.connection_capacity_w,
        "deposit_credits": homes.deposit_credits,
        "load": {
            "profile": homes.load_profiles[profile_at % len(homes.load_profiles)],
            "yearly_kwh": _between(random, homes.yearly_kwh_min, homes.yearly_kwh_max, 1),
            "shift_weeks": profile_at // len(homes.load_profiles) % DISTINCT_WEEKS,
        },
        "strategy": homes.strategy.model_dump(),
    }
    if k % homes.solar_every == 0:
        home["solar"] = {
            "profile": homes.solar_profiles[k // homes.solar_every % len(homes.solar_profiles)],
            "peak_w": _between(random, homes.solar_peak_min_w, homes.solar_peak_max_w, 10),
        }
    if k % homes.battery_every == 0:
        home["devices"] = (
            {
                "kind": "battery",
                "id": f"battery-{k:05d}",
                "capacity_wh": homes.battery_capacity_wh,
                "p_charge_max_w": homes.battery_p_max_w,
                "p_discharge_max_w": homes.battery_p_max_w,
            },
        )
    return home


def _between(random: Random, low: float, high: float, step: float) -> float:
    """Draw a number between two bounds, rounded to whole steps (still inside the bounds)."""
    return min(high, max(low, round((low + (high - low) * random.random()) / step) * step))
