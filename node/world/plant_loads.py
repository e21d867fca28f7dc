"""A participant's load as devices: one per priority class, and one for what stands behind thermostats."""

from devices.specification import DeviceSpec, Kind, Priority
from node.scenario import Participant, Thermostatic

CLASSES = (
    ("critical", Priority.CRITICAL),
    ("normal", Priority.NORMAL),
    ("deferrable", Priority.DEFERRABLE),
)


def load_devices(participant: Participant) -> list[tuple[DeviceSpec, float]]:
    """Return the devices with their shares of the load, which sum to one; none without a load."""
    load = participant.load
    if load is None:
        return []
    thermostatic = load.thermostatic
    ordinary_pu = 1.0 if thermostatic is None else 1.0 - thermostatic.share_pu
    found = [
        (
            DeviceSpec(
                name=f"{participant.id}.{name}",
                kind=Kind.LOAD,
                priority=priority,
                impedance_share=load.impedance_pu,
                current_share=load.current_pu,
            ),
            float(getattr(participant.priorities, f"{name}_pu")) * ordinary_pu,
        )
        for name, priority in CLASSES
    ]
    found = [(spec, share) for spec, share in found if share > 0]
    if thermostatic is not None:
        found.append((_behind_thermostats(participant.id, thermostatic), thermostatic.share_pu))
    return found


def _behind_thermostats(owner: str, load: Thermostatic) -> DeviceSpec:
    return DeviceSpec(
        name=f"{owner}.thermostatic",
        kind=Kind.THERMOSTATIC_LOAD,
        priority=Priority.LOW,
        impedance_share=load.impedance_pu,
        thermal_time_s=load.thermal_time_s,
        recovery_time_s=load.recovery_time_s,
        p_max_w=load.p_max_w,
    )
