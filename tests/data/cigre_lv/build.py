"""Writes the reference of this folder with pandapower; see README.md. Not run by the tests."""

import csv
from pathlib import Path

import pandapower
import pandapower.networks as networks

HERE = Path(__file__).parent
# Share of constant impedance and constant current, percent; the rest is constant power.
CASES = {"P": (0, 0), "I": (0, 100), "Z": (100, 0), "ZIP": (40, 20)}
SOURCE_PU = (1.0, 0.99, 0.975, 0.95, 1.02)


def network(z_percent=0.0, i_percent=0.0, source_pu=1.0):
    net = networks.create_cigre_network_lv()
    for part in ("p", "q"):
        net.load[f"const_z_{part}_percent"] = float(z_percent)
        net.load[f"const_i_{part}_percent"] = float(i_percent)
    net.ext_grid.vm_pu = source_pu
    return net


def write(name, head, rows):
    with (HERE / name).open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(head)
        writer.writerows(rows)


def main():
    net = network()
    branches = []
    for trafo in net.trafo.itertuples():
        z_ohm = trafo.vn_lv_kv**2 / trafo.sn_mva
        r = trafo.vkr_percent / 100 * z_ohm
        x = (trafo.vk_percent**2 - trafo.vkr_percent**2) ** 0.5 / 100 * z_ohm
        # The hv side hangs on the ideal 20 kV source by a closed switch: the source, referred to 400 V.
        branches.append((0, trafo.lv_bus, f"{r:.9g}", f"{x:.9g}"))
    for line in net.line.itertuples():
        r, x = line.r_ohm_per_km * line.length_km, line.x_ohm_per_km * line.length_km
        branches.append((line.from_bus, line.to_bus, f"{r:.9g}", f"{x:.9g}"))
    write("branches.csv", ("from_bus", "to_bus", "r_ohm", "x_ohm"), branches)
    write(
        "loads.csv",
        ("bus", "p_w", "q_var"),
        [(one.bus, f"{one.p_mw * 1e6:.9g}", f"{one.q_mvar * 1e6:.9g}") for one in net.load.itertuples()],
    )
    flows, voltages = [], []
    for name, (z, i) in CASES.items():
        for source_pu in SOURCE_PU:
            net = network(z, i, source_pu)
            pandapower.runpp(net, tolerance_mva=1e-9, max_iteration=200, numba=False)
            loss_w = (net.res_line.pl_mw.sum() + net.res_trafo.pl_mw.sum()) * 1e6
            source = net.res_ext_grid.p_mw.iloc[0] * 1e6
            flows.append((name, source_pu, f"{source:.4f}", f"{loss_w:.4f}"))
            voltages += [
                (name, source_pu, bus, f"{v:.9f}")
                for bus, v in net.res_bus.vm_pu.items()
                if bus not in (0, 1, 20, 23)
            ]
    write("flows.csv", ("case", "source_pu", "source_w", "loss_w"), flows)
    write("voltages.csv", ("case", "source_pu", "bus", "v_pu"), voltages)


if __name__ == "__main__":
    main()
