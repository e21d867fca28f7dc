"""A scenario's wires as a feeder: impedances from their data sheets, phases, loads, and nothing without a section."""

import math

import numpy as np
import pytest

from node.controller.voltage import TapChanger
from node.scenario import Line, Taps, Thermostatic, Transformer, Voltage, load
from node.world import plant as plants
from node.world.wiring import build, tap_changer, voltage_control
from tests.simulation.conftest import CORNER

LINE = Line(r_ohm_per_km=0.2, x_ohm_per_km=0.08, length_m=500)


@pytest.fixture(scope="module")
def corner():
    return load(CORNER)


def wired(corner, **terms):
    network = tuple(n if n.parent is None else n.model_copy(update={"line": LINE}) for n in corner.network)
    people = list(corner.participants)
    service = Line(r_ohm_per_km=0.8, x_ohm_per_km=0.1, r0_ohm_per_km=2.0, x0_ohm_per_km=0.3, length_m=100)
    warm = people[1].load.model_copy(
        update={
            "impedance_pu": 0.4,
            "current_pu": 0.2,
            "thermostatic": Thermostatic(share_pu=0.25, p_max_w=3_000),
        }
    )
    people[1] = people[1].model_copy(update={"phase": "b", "service": service, "load": warm})
    voltage = Voltage(**({"transformer": Transformer(rated_va=100_000.0, load_loss_pu=0.01)} | terms))
    return corner.model_copy(update={"network": network, "participants": tuple(people), "voltage": voltage})


def test_without_a_section_voltage_there_are_no_wires(corner):
    assert voltage_control(plants.build(corner)) is None


def test_lines_and_the_transformer_get_the_impedance_of_their_data_sheet(corner):
    scenario = wired(corner)
    wires = build(plants.build(scenario), scenario.voltage)
    at = wires.bus_names.index
    base_ohm = 400**2 / 100_000
    transformer = complex(0.01, math.sqrt(0.04**2 - 0.01**2)) * base_ohm
    z = wires.feeder.z_ohm
    assert z[at("substation")] == pytest.approx(transformer * np.eye(3))
    # Own impedance of a line: (2 z1 + z0) / 3; z0 is four times z1 unless it is said.
    assert z[at("cable"), 0, 0] == pytest.approx(2 * complex(0.1, 0.04))
    assert z[at("cable"), 0, 1] == pytest.approx(complex(0.1, 0.04))
    assert z[at("connection:shade"), 1, 1] == pytest.approx(
        (2 * complex(0.08, 0.01) + complex(0.2, 0.03)) / 3
    )
    assert not z[at("connection:sun")].any()
    assert wires.feeder.parent[at("connection:shade")] == at("cable")
    assert wires.feeder.parent[at("substation")] == at("source") == 0


def test_devices_hang_on_their_owners_phases(corner):
    scenario = wired(corner)
    plant = plants.build(scenario)
    wires = build(plant, scenario.voltage)
    shade = plant.fleet.row_of("shade.critical")
    assert wires.phase[wires.device == shade].tolist() == [1]
    battery = plant.fleet.row_of("battery")
    assert wires.phase[wires.device == battery].tolist() == [0, 1, 2]
    assert wires.part[wires.device == battery] == pytest.approx([1 / 3] * 3)
    assert wires.reactive_share[battery] == 0
    assert wires.reactive_share[shade] == pytest.approx(math.tan(math.acos(0.97)))
    assert wires.impedance_share[wires.device == shade, 0] == pytest.approx([0.4])


def test_a_thermostatic_part_is_a_device_of_its_own_and_the_parts_sum_to_the_load(corner):
    scenario = wired(corner)
    plant = plants.build(scenario)
    heat = plant.fleet.row_of("shade.thermostatic")
    assert plant.load_share_pu[heat] == 0.25
    assert plant.load_share_pu[plant.participant == plant.participant[heat]].sum() == pytest.approx(1.0)
    assert plants.kind_name(plant.fleet, heat) == "load (thermostatic)"
    wires = build(plant, scenario.voltage)
    assert wires.rebound_ratio[wires.device == heat, 0] == pytest.approx([21_600 / 1_800])


def test_balanced_power_on_three_phases_meets_the_single_phase_equation(corner):
    """A third of the power each, over the positive sequence: V2 (V1 - V2) = Z S per phase."""
    scenario = wired(corner, power_factor=1.0)
    plant = plants.build(scenario)
    wires = build(plant, scenario.voltage)
    p_w = np.zeros((plant.fleet.n_devices, 1))
    p_w[plant.fleet.row_of("battery")] = -9_000.0
    _, terminal_v = wires.solve(wires.at_any_voltage(p_w), 1.0)
    z = wires.feeder.z_ohm
    z1 = sum(
        z[wires.bus_names.index(n), 0, 0] - z[wires.bus_names.index(n), 0, 1] for n in ("substation", "cable")
    )
    v0 = v = 400 / math.sqrt(3)
    for _ in range(50):
        v = v0 - z1 * np.conj(3_000.0 / v)
    assert terminal_v[wires.device == plant.fleet.row_of("battery"), 0] == pytest.approx(
        [abs(v) / v0] * 3, abs=1e-6
    )


@pytest.mark.parametrize(
    ("terms", "asked", "is_optimising"),
    [
        ({"taps": Taps(step_pu=0.02, lowest=-2, highest=2)}, True, True),
        ({"taps": Taps(step_pu=0.02, lowest=-2, highest=2)}, False, False),
        ({"taps": Taps(step_pu=0.02, lowest=-2, highest=2), "optimise": False}, True, False),
        ({}, True, False),
    ],
)
def test_taps_move_only_where_there_are_some_and_everybody_agrees(corner, terms, asked, is_optimising):
    control = voltage_control(plants.build(wired(corner, **terms)), optimises=asked)
    assert control.is_optimising is is_optimising
    assert control.changer.positions.size == (5 if terms else 1)


def test_taps_are_taken_over_as_they_stand():
    taps = Taps(step_pu=0.02, lowest=-3, highest=1, home=-1, max_switchings=9, least_saving_pu=0.01)
    assert tap_changer(taps) == TapChanger(0.02, -3, 1, -1, 9, 0.01)
