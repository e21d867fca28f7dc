"""Voltage and frequency of one island while an interval runs: droop every 10 ms, at rest where nothing moves."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from devices.parameters import FleetParameters
from devices.state import FleetState, StepFlows
from node.controller.microgrid import Microgrid, MicrogridState, Phase, usable_wh
from node.controller.microgrid_droop import DroopIsland, DroopState, advanced, at_rest, form
from node.controller.microgrid_pickup import DECAY_S, inrush_w
from node.hub.island_records import IslandSample

FINE_MS = 10
SAMPLE_MS = 100  # shorter steps share a sample
# Longer steps than this are coasts: nothing moves in them.
COAST_MS = 1_000
# Mixed household load (IEEE Task Force on Load Representation, 1993): power factor 0.95.
REACTIVE_PER_ACTIVE = 0.33
DRIFT_EVERY = 5  # samples of 10 ms


class IslandVoltage:
    """What the forming inverters make of the island's load."""

    def __init__(
        self, grid: Microgrid, params: FleetParameters, is_healthy: NDArray[np.bool_], state: MicrogridState
    ) -> None:
        self._grid, self._params, self._is_healthy = grid, params, is_healthy
        self._forming = grid.storages[is_healthy[grid.storages]]
        self._others = np.concatenate((grid.loads, grid.suns))
        self._droop: DroopIsland | None = None
        self._state: DroopState | None = None
        self._told_w: NDArray[np.float64] | None = None
        self._seen_f: list[float] = []
        self._seen_v: list[float] = []
        self.set_hz = state.f_hz if state.phase is Phase.SYNCHRONISING else grid.nominal_hz
        self.samples: list[IslandSample] = []

    def record_drift(
        self, at_ms: int, t_s: NDArray[np.float64], v_pu: NDArray[np.float64], f_hz: NDArray[np.float64],
        until_s: float,
    ) -> None:  # fmt: skip
        """Keep what devices measured between the loss of supply and the trip."""
        for k in range(0, int(np.searchsorted(t_s, until_s)) + 1, DRIFT_EVERY):
            f, v = float(f_hz[k]), float(v_pu[k])
            self.samples.append(IslandSample(at_ms / 1_000 + float(t_s[k]), Phase.LOST, f, f, v, v, 0.0, 0.0))

    def step(
        self, state: MicrogridState, at_ms: int, dt_ms: int, fleet: FleetState, flows: StepFlows
    ) -> MicrogridState:
        """Follow a step of the fleet that began at `at_ms`; return the state with what the bus shows at its end."""
        grid = self._grid
        if not state.has_voltage or not self._forming.size:
            self._state = self._told_w = None
            if state.phase is Phase.DARK:
                self._sample(at_ms + dt_ms, state.phase, [0.0], [0.0], 0.0, fleet)
            return state
        if self._droop is None:
            self._droop = form(
                self._params.p_discharge_max_w[self._forming], grid.nominal_hz, FINE_MS / 1_000
            )
        hours = dt_ms / 3.6e6
        net_w = -float(flows.terminal_wh[self._others].sum()) / hours
        reactive_var = REACTIVE_PER_ACTIVE * float(-flows.terminal_wh[grid.loads].sum()) / hours
        now_w = fleet.p_w[self._forming]
        # Until the leader's next period inverters run on what they were told before; droop carries the difference.
        set_w = now_w if self._told_w is None or dt_ms > COAST_MS else self._told_w
        self._told_w = now_w
        if self._state is None:
            self._state = at_rest(self._droop, set_w, net_w, reactive_var, self.set_hz)
        rows = np.array([row for row, _ in state.recent], np.int64)
        picked_w = flows.sink_wh[rows] / hours
        f_hz, v_pu, load_w = self._follow(state, at_ms, dt_ms, set_w, net_w, reactive_var, picked_w)
        self._seen_f += f_hz
        self._seen_v += v_pu
        if (at_ms + dt_ms) % SAMPLE_MS == 0 or dt_ms >= SAMPLE_MS:
            self._sample(at_ms + dt_ms, state.phase, self._seen_f, self._seen_v, load_w, fleet)
            self._seen_f, self._seen_v = [], []
        turned = 360.0 * (f_hz[-1] - grid.nominal_hz) * dt_ms / 1_000
        recent = tuple((row, at) for row, at in state.recent if at_ms + dt_ms - at < 1_000 * 5 * DECAY_S)
        return replace(
            state, f_hz=f_hz[-1], v_pu=v_pu[-1], angle_deg=(state.angle_deg + turned + 180.0) % 360.0 - 180.0,
            recent=recent,
        )  # fmt: skip

    def _follow(
        self, state: MicrogridState, at_ms: int, dt_ms: int, set_w: NDArray[np.float64], net_w: float,
        reactive_var: float, picked_w: NDArray[np.float64],
    ) -> tuple[list[float], list[float], float]:  # fmt: skip
        assert self._droop is not None
        assert self._state is not None
        if dt_ms > COAST_MS:
            self._state = at_rest(self._droop, set_w, net_w, reactive_var, self.set_hz)
            return [self._state.f_hz], [self._state.v_pu], net_w
        since_s = np.array([at for _, at in state.recent], np.float64) / 1_000
        f_hz, v_pu, load_w = [], [], net_w
        for ms in range(at_ms, at_ms + dt_ms, FINE_MS):
            load_w = net_w + inrush_w(picked_w, since_s, ms / 1_000) if picked_w.size else net_w
            self._state = advanced(self._droop, self._state, set_w, load_w, reactive_var, self.set_hz)
            f_hz.append(self._state.f_hz)
            v_pu.append(self._state.v_pu)
        return f_hz, v_pu, load_w

    def _sample(
        self, at_ms: int, phase: Phase, f_hz: list[float], v_pu: list[float], load_w: float, fleet: FleetState
    ) -> None:
        left_wh = usable_wh(self._grid, self._params, fleet, self._is_healthy)
        self.samples.append(
            IslandSample(at_ms / 1_000, phase, min(f_hz), max(f_hz), min(v_pu), max(v_pu), load_w, left_wh)
        )
