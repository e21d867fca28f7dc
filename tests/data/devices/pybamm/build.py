"""Rebuild chen2020.csv: discharges and charges of PyBaMM's Doyle-Fuller-Newman cell, and its open-circuit voltage.

Needs `pip install pybamm` (BSD-3-Clause). Columns: current (A, > 0 discharging), seconds, state of charge by charge,
open-circuit voltage at that state, terminal voltage.
"""

from pathlib import Path

import numpy as np
import pybamm

C_RATES = (0.5, 0.75, 1.0)
POINTS = 121


def main() -> None:
    """Solve the cell at every rate and write the table."""
    parameters = pybamm.ParameterValues("Chen2020")
    model = pybamm.lithium_ion.DFN()
    capacity_ah = float(parameters["Nominal cell capacity [A.h]"])
    x_empty, x_full, _, _ = pybamm.lithium_ion.get_min_max_stoichiometries(parameters)
    charge_ah = (x_full - x_empty) * float(parameters.evaluate(pybamm.LithiumIonParameters().n.Q_init))
    lines = [f"# capacity_ah {charge_ah:.6f}", "current_a,seconds,soc_pu,ocv_v,terminal_v"]
    for sign, start in ((1.0, 1.0), (-1.0, 0.05)):
        for c_rate in C_RATES:
            current = sign * c_rate * capacity_ah
            parameters["Current function [A]"] = current
            simulation = pybamm.Simulation(model, parameter_values=parameters)
            limit_s = 3600.0 / c_rate * 1.1
            solution = simulation.solve(np.linspace(0.0, limit_s, 1201), initial_soc=start)
            seconds = solution["Time [s]"].entries
            for at in np.linspace(0, seconds.size - 1, POINTS).astype(int):
                soc = start - current * seconds[at] / 3600.0 / charge_ah
                ocv = solution["Battery open-circuit voltage [V]"].entries[at]
                volts = solution["Terminal voltage [V]"].entries[at]
                lines.append(f"{current:.4f},{seconds[at]:.3f},{soc:.6f},{ocv:.6f},{volts:.6f}")
    Path(__file__).with_name("chen2020.csv").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
