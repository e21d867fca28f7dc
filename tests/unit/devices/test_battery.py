"""Batteries: measured tables, an electrochemical model, the pack as the fleet sees it."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from devices.battery import Cell, molicel_nmc_cell, sony_lfp_cell
from devices.converter import SHIPPED_CONVERTERS
from devices.errors import BadTable
from devices.storage import StorageUnits, UnitState, transfer
from devices.storage_tables import stack_tables

Lines = Callable[[str], list[str]]
CHEN2020 = Path(__file__).parents[2] / "data" / "devices" / "pybamm" / "chen2020.csv"


def _table(lines: list[str]) -> np.ndarray:
    return np.asarray([[float(v) if v else np.nan for v in line.split(",")] for line in lines[1:] if line])


@pytest.mark.parametrize(
    ("name", "cell"),
    [("CLFP_Sony_US26650", sony_lfp_cell()), ("NMC_Molicel", molicel_nmc_cell())],
)
def test_shipped_lookups_agree_with_the_published_tables(
    name: str, cell: Cell, reference_lines: Lines
) -> None:
    ocv = _table(reference_lines(f"simses/{name}_OCV.csv"))
    # Thinned to 0.2 mV; six digits of the state of charge add a little where the curve is vertical.
    assert np.abs(cell.open_circuit_v(ocv[:, 0]) - ocv[:, 1]).max() < 5e-4
    resistance = _table(reference_lines(f"simses/{name}_Rint.csv"))
    for column, temp_c in enumerate((10.0, 25.0, 40.0, 60.0)):
        for is_charging, first in ((True, 2), (False, 6)):
            got = cell.resistance_ohm(resistance[:, 0], temp_c, is_charging)
            assert np.abs(got - resistance[:, first + column]).max() < 1.1e-4


def test_lookups_of_a_complete_table_are_exact_at_its_points(reference_lines: Lines) -> None:
    ocv = _table(reference_lines("simses/CLFP_Sony_US26650_OCV.csv"))
    ocv = ocv[np.argsort(ocv[:, 0])]
    resistance = _table(reference_lines("simses/CLFP_Sony_US26650_Rint.csv"))
    cell = dataclasses.replace(
        sony_lfp_cell(),
        ocv_soc_pu=ocv[:, 0],
        ocv_v=ocv[:, 1],
        resistance_soc_pu=resistance[:, 0],
        charge_resistance_ohm=resistance[:, 2:6].T,
        discharge_resistance_ohm=resistance[:, 6:10].T,
    )
    np.testing.assert_array_equal(cell.open_circuit_v(ocv[:, 0]), ocv[:, 1])
    for column, temp_c in enumerate((10.0, 25.0, 40.0, 60.0)):
        np.testing.assert_array_equal(
            cell.resistance_ohm(resistance[:, 0], temp_c, True), resistance[:, 2 + column]
        )
        np.testing.assert_array_equal(
            cell.resistance_ohm(resistance[:, 0], temp_c, False), resistance[:, 6 + column]
        )


@pytest.mark.parametrize("current_a", [2.5, 5.0, -2.5, -5.0])
def test_terminal_voltage_is_within_20_mv_of_a_doyle_fuller_newman_cell(current_a: float) -> None:
    """The cell takes its open-circuit voltage and, from the run at 0.75C alone, its resistance; it predicts others."""
    lines = CHEN2020.read_text().splitlines()
    capacity_ah = float(lines[0].split()[-1])
    runs = _table(lines[1:])
    source = runs[runs[:, 0] == np.copysign(3.75, current_a)]
    source = source[np.argsort(source[:, 2])]
    all_points = runs[np.unique(runs[:, 2], return_index=True)[1]]
    grid = np.concatenate([[0.0], all_points[:, 2], [1.0]])
    keep = np.concatenate([[True], np.diff(grid) > 0.0])
    ocv = np.maximum.accumulate(np.interp(grid, all_points[:, 2], all_points[:, 3]))
    knots = np.linspace(0.0, 1.0, 41)
    ohm = np.interp(knots, source[:, 2], (source[:, 3] - source[:, 4]) / source[:, 0])[None, :]
    cell = dataclasses.replace(
        molicel_nmc_cell(),
        capacity_ah=capacity_ah,
        ocv_soc_pu=grid[keep],
        ocv_v=ocv[keep],
        resistance_soc_pu=knots,
        resistance_temp_c=np.asarray([25.0]),
        charge_resistance_ohm=ohm,
        discharge_resistance_ohm=ohm,
    )
    run = runs[(runs[:, 0] == current_a) & (runs[:, 1] > 0.0)]
    # Coulomb counting only: the state of charge is the model's own, not the reference's.
    soc = (1.0 if current_a > 0 else 0.05) - current_a * run[:, 1] / 3600.0 / capacity_ah
    error = cell.terminal_v(soc, np.full(soc.size, current_a), 25.0) - run[:, 4]
    assert np.sqrt(np.mean(error**2)) < 0.020


def test_energy_and_charge_states_invert_each_other() -> None:
    soc = np.linspace(0.0, 1.0, 777)
    for cell in (sony_lfp_cell(), molicel_nmc_cell()):
        np.testing.assert_allclose(cell.soc_of_energy_pu(cell.energy_pu_of_soc(soc)), soc, atol=1e-5)


def test_a_pack_of_any_size_loses_what_its_cells_lose() -> None:
    """100 cells at 3 A each for 1 s at 25 °C: loss = 100 · R · I², from the cell's own table."""
    cell = sony_lfp_cell()
    capacity = 100.0 * cell.energy_wh()
    soc = 0.5
    energy = float(cell.energy_pu_of_soc(np.asarray([soc]))[0]) * capacity
    ocv, ohm = (
        float(cell.open_circuit_v(np.asarray([soc]))[0]),
        float(cell.resistance_ohm(np.asarray([soc]), 25.0, False)[0]),
    )
    p_dc = 100.0 * 3.0 * (ocv - 3.0 * ohm)
    one = np.ones(1)
    kind = np.zeros(1, dtype=np.int64)
    units = StorageUnits(kind, kind, one * 2_000.0, one * 2_000.0, one * 2_000.0, one * capacity, one * 0.0)
    state = UnitState(one * energy, one * 25.0, one * capacity, one, one * 0.0, one * 0.0)
    p_ac = SHIPPED_CONVERTERS.ac_power_w(one * p_dc, units.rated_w, kind)
    tables = stack_tables((cell.storage_table(),))
    done = transfer(tables, SHIPPED_CONVERTERS, units, state, p_ac, 25.0, 1.0)
    converter_wh = (p_dc - p_ac[0]) / 3600.0
    heat_wh = done.loss_wh[0] - done.standing_wh[0] - converter_wh
    assert heat_wh * 3600.0 == pytest.approx(100.0 * ohm * 9.0, rel=0.01)
    assert done.source_wh[0] * 3600.0 == pytest.approx(300.0 * ocv, rel=1e-4)


def test_current_voltage_and_temperature_limit_the_power() -> None:
    cell = sony_lfp_cell()
    tables = stack_tables((cell.storage_table(),))
    n = 4
    one = np.ones(n)
    kind = np.zeros(n, dtype=np.int64)
    units = StorageUnits(kind, kind, one * 50e3, one * 50e3, one * 50e3, one * 5_000.0, one * 0.0)
    temp = np.asarray([25.0, 2.0, -1.0, 25.0])
    energy = 5_000.0 * np.asarray([0.5, 0.5, 0.5, 0.999])
    state = UnitState(energy, temp, one * 5_000.0, one, one * 0.0, one * 0.0)
    done = transfer(tables, SHIPPED_CONVERTERS, units, state, one * -50e3, 20.0, 0.01)
    rate = -done.source_wh * 360_000.0 / 5_000.0
    assert rate[0] == pytest.approx(1.0, rel=1e-6)  # 1C charging
    assert rate[1] == pytest.approx(0.4, rel=1e-6)  # 2 K above the limit of 0 °C with a taper of 5 K
    assert rate[2] == 0.0  # lithium plating below 0 °C: no charging
    assert rate[3] < 1.0  # constant voltage near full
    assert done.is_limited.all()


def test_a_cell_with_a_broken_table_is_refused() -> None:
    cell = sony_lfp_cell()
    with pytest.raises(BadTable, match="must not fall"):
        dataclasses.replace(cell, ocv_v=cell.ocv_v[::-1].copy())
    with pytest.raises(BadTable, match="rise from 0 to 1"):
        dataclasses.replace(cell, ocv_soc_pu=cell.ocv_soc_pu * 0.9)
    with pytest.raises(BadTable, match="shape"):
        dataclasses.replace(cell, charge_resistance_ohm=cell.charge_resistance_ohm[:2])


@pytest.mark.slow
def test_the_shipped_reference_runs_are_what_the_electrochemical_model_gives() -> None:
    pybamm = pytest.importorskip("pybamm")
    parameters = pybamm.ParameterValues("Chen2020")
    parameters["Current function [A]"] = 5.0
    simulation = pybamm.Simulation(pybamm.lithium_ion.DFN(), parameter_values=parameters)
    solution = simulation.solve(np.linspace(0.0, 3_960.0, 1201), initial_soc=1.0)
    runs = _table(CHEN2020.read_text().splitlines()[1:])
    run = runs[runs[:, 0] == 5.0]
    volts = np.interp(run[:, 1], solution["Time [s]"].entries, solution["Terminal voltage [V]"].entries)
    assert np.abs(volts - run[:, 4]).max() < 1e-3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"emf_pu": np.ones(3)}, "points"),
        ({"resistance_h": np.ones((2, 3, 4))}, "shape"),
        ({"emf_pu": np.zeros(513)}, "voltage"),
        ({"standing_sqrt_per_h": -1.0}, "standing"),
    ],
)
def test_a_storage_table_that_is_none_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(BadTable, match=message):
        dataclasses.replace(sony_lfp_cell().storage_table(), **change)  # type: ignore[arg-type]
