"""A scenario's lines, transformer and phases as a feeder with the community's devices on it."""

import math

import numpy as np

from devices.specification import Kind
from node.controller.powerflow import Feeder, balanced_v, phase_impedance_ohm
from node.controller.voltage import Band, TapChanger
from node.controller.wires import Wires
from node.hub.dispatch_voltage import VoltageControl
from node.scenario import Taps, Transformer, Voltage
from node.world.plant import Plant

PHASES = ("a", "b", "c")
# Where taps do not exist: one position.
NO_TAPS = TapChanger(0.01, 0, 0, max_switchings=0)


def voltage_control(plant: Plant, *, optimises: bool = True) -> VoltageControl | None:
    """Return how voltage is computed and kept; None where the scenario says nothing of it.

    Parameters
    ----------
    optimises : bool
        False: taps stay at home, whatever the scenario says (the twin).
    """
    terms = plant.scenario.voltage
    if terms is None:
        return None
    taps = terms.taps
    is_fixed = taps is None or not (terms.optimise and optimises)
    return VoltageControl(
        wires=build(plant, terms),
        changer=NO_TAPS if taps is None else tap_changer(taps),
        band=Band(terms.low_pu, terms.high_pu),
        is_optimising=not is_fixed,
        margin_pu=0.0 if taps is None else taps.margin_pu,
        delay_s=0.0 if taps is None else taps.delay_s,
        fast_delay_s=0.0 if taps is None else taps.fast_delay_s,
    )


def tap_changer(taps: Taps) -> TapChanger:
    """Return a scenario's tap changer for the controller."""
    return TapChanger(
        taps.step_pu, taps.lowest, taps.highest, taps.home, taps.max_switchings, taps.least_saving_pu
    )


def build(plant: Plant, terms: Voltage) -> Wires:
    """Lay the wires: bus 0 is the medium-voltage source, bus k + 1 the topology's node k.

    Notes
    -----
    A delta-wye transformer passes no zero sequence to its source: on the low-voltage side its zero sequence is
    its own impedance, which is its positive sequence.
    """
    scenario, topology, fleet = plant.scenario, plant.topology, plant.fleet
    rated_v = terms.rated_v / math.sqrt(3)
    line = {node.id: node.line for node in scenario.network}
    line |= {f"connection:{person.id}": person.service for person in scenario.participants}
    z_transformer = _transformer_ohm(terms.transformer, terms.rated_v)
    z1, z0 = [0j, z_transformer], [0j, z_transformer]
    for name in topology.ids[1:]:
        cable = line[name]
        z1.append(0j if cable is None else cable.z1_ohm)
        z0.append(0j if cable is None else cable.z0_ohm)
    feeder = Feeder(
        np.concatenate([[-1], topology.parent + 1]),
        phase_impedance_ohm(np.array(z1), np.array(z0)),
        balanced_v(rated_v * terms.source_pu),
    )
    phases = [
        range(3) if person.phase is None else (PHASES.index(person.phase),)
        for person in scenario.participants
    ]
    terminals = [
        (row, int(plant.node[row]) + 1, phase, 1.0 / len(phases[owner]))
        for row, owner in enumerate(plant.participant.tolist())
        for phase in phases[owner]
    ]
    device, bus, phase, part = (np.array(column) for column in zip(*terminals, strict=True))
    is_load = (fleet.kind == Kind.LOAD) | (fleet.kind == Kind.THERMOSTATIC_LOAD)
    ratio = np.where(fleet.kind == Kind.THERMOSTATIC_LOAD, fleet.thermal_time_s / fleet.recovery_time_s, 0.0)
    return Wires(
        feeder=feeder,
        bus_names=("source", *topology.ids),
        rated_v=rated_v,
        device=device,
        bus=bus,
        phase=phase,
        part=part,
        reactive_share=np.where(is_load, math.tan(math.acos(terms.power_factor)), 0.0),
        impedance_share=np.where(is_load, fleet.impedance_share, 0.0)[device][:, None],
        current_share=np.where(is_load, fleet.current_share, 0.0)[device][:, None],
        rebound_ratio=ratio[device][:, None],
        is_solar=fleet.kind == Kind.SOLAR,
    )


def _transformer_ohm(transformer: Transformer, rated_v: float) -> complex:
    """Return the impedance on the low-voltage side."""
    base_ohm = rated_v**2 / transformer.rated_va
    r_pu = transformer.load_loss_pu
    return base_ohm * complex(r_pu, math.sqrt(transformer.short_circuit_pu**2 - r_pu**2))
