"""Back to the grid: wait until it has been healthy long enough, turn the island's phase to it, close inside the window.

References
----------
IEEE Std 1547-2018: table 4 (enter service: 0.917..1.05 per unit, -0.5..+0.1 Hz, 300 s), table 5 (synchronisation of
up to 500 kVA: 0.3 Hz, 10 %, 20 degrees).
"""

from dataclasses import dataclass, replace
from typing import Final

ENTER_SERVICE_S: Final = 300.0
HEALTHY_V_PU: Final = (0.917, 1.05)
HEALTHY_OFF_HZ: Final = (-0.5, 0.1)
MAX_SLIP_HZ: Final = 0.3
MAX_DIFFERENCE_PU: Final = 0.10
MAX_ANGLE_DEG: Final = 20.0
# A switch needs up to five cycles from the order to the contact; the phase goes on turning meanwhile.
CLOSING_S: Final = 0.1
# While synchronising the island runs this much faster than the grid: any phase comes round in 10 s.
TURNING_HZ: Final = 0.1
SYNCHRONISATION_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Terminal:
    """Voltage, frequency and phase on one side of the switch."""

    v_pu: float
    f_hz: float
    angle_deg: float = 0.0


@dataclass(frozen=True, slots=True)
class GridWatch:
    """Since when the grid has been healthy without a break; None: it is not."""

    nominal_hz: float
    healthy_since_s: float | None = None

    def seen(self, grid: Terminal, now_s: float) -> "GridWatch":
        """Return the watch after a measurement."""
        if not is_healthy(grid, self.nominal_hz):
            return replace(self, healthy_since_s=None)
        return self if self.healthy_since_s is not None else replace(self, healthy_since_s=now_s)

    def may_return(self, now_s: float) -> bool:
        """Return whether the grid has been healthy for as long as it must be."""
        return self.healthy_since_s is not None and now_s - self.healthy_since_s >= ENTER_SERVICE_S


def is_healthy(grid: Terminal, nominal_hz: float) -> bool:
    """Return whether a source may enter service at this grid."""
    off_hz = round(grid.f_hz - nominal_hz, 9)
    return (
        HEALTHY_V_PU[0] <= grid.v_pu <= HEALTHY_V_PU[1] and HEALTHY_OFF_HZ[0] <= off_hz <= HEALTHY_OFF_HZ[1]
    )


def angle_between_deg(island: Terminal, grid: Terminal) -> float:
    """Return how far the island's phase is ahead of the grid's, -180..180."""
    return (island.angle_deg - grid.angle_deg + 180.0) % 360.0 - 180.0


def may_close(island: Terminal, grid: Terminal, watch: GridWatch, now_s: float) -> bool:
    """Return whether the switch may be told to close now: inside the window now and when its contacts meet."""
    slip_hz = island.f_hz - grid.f_hz
    angle = angle_between_deg(island, grid)
    at_contact = angle + 360.0 * slip_hz * CLOSING_S
    return (
        watch.may_return(now_s)
        and abs(slip_hz) <= MAX_SLIP_HZ
        and abs(island.v_pu - grid.v_pu) <= MAX_DIFFERENCE_PU
        and abs(angle) <= MAX_ANGLE_DEG
        and abs(at_contact) <= MAX_ANGLE_DEG
    )


def frequency_to_turn_hz(island: Terminal, grid: Terminal) -> float:
    """Return the frequency to give the island so that its phase comes round to the grid's."""
    return grid.f_hz + TURNING_HZ if angle_between_deg(island, grid) <= 0 else grid.f_hz - TURNING_HZ
