"""A storage plan as bytes: what agents take up again after a restart."""

import io

import numpy as np

from node.agent.strategy import StoragePlan
from node.agent.strategy.stored_value import StoredValue


def plan_to_bytes(plan: StoragePlan) -> bytes:
    """Return a plan as bytes; equal plans give equal bytes."""
    arrays = {
        "first": np.array([plan.first]),
        "hours": np.array([plan.hours]),
        "borders_wh": plan.value.borders_wh,
        "slopes_micro_per_kwh": plan.value.slopes_micro_per_kwh,
        "power_w": plan.power_w,
        "energy_wh": plan.energy_wh,
        "charge_efficiency_pu": plan.charge_efficiency_pu,
        "discharge_efficiency_pu": plan.discharge_efficiency_pu,
    }
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def plan_from_bytes(data: bytes) -> StoragePlan:
    """Return the plan that `plan_to_bytes` wrote."""
    with np.load(io.BytesIO(data), allow_pickle=False) as found:
        return StoragePlan(
            int(found["first"][0]),
            float(found["hours"][0]),
            StoredValue(found["borders_wh"], found["slopes_micro_per_kwh"]),
            found["power_w"],
            found["energy_wh"],
            found["charge_efficiency_pu"],
            found["discharge_efficiency_pu"],
        )
