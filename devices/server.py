"""Servers: what a server draws at a CPU utilisation.

| symbol | name in code | meaning |
|---|---|---|
| u | `utilisation_pu` | CPU utilisation, 0 to 1 |
| P | power | P(u) = P_peak·(i + (1 - i)·(2u - u^1.4)), i the share drawn when idle |
"""

from typing import Final

import numpy as np

from devices.arrays import FloatArray
from devices.errors import BadInput

# Fitted by Fan et al. to thousands of servers: within 1 % of measured power of whole racks.
EXPONENT: Final = 1.4
# Chosen here: half of the peak in the servers of Fan et al., a third or less in later ones.
IDLE_PU: Final = 0.3


def server_power_pu(utilisation_pu: FloatArray, idle_pu: float = IDLE_PU) -> FloatArray:
    """Return the power at a utilisation, per unit of the server's peak, shape of `utilisation_pu`.

    Raises
    ------
    BadInput
        If a utilisation or the idle share lies outside 0..1.

    References
    ----------
    X. Fan, W.-D. Weber, L. A. Barroso, Power provisioning for a warehouse-sized computer, ISCA 2007, 13-23,
    doi:10.1145/1250662.1250665.
    """
    if not 0.0 <= idle_pu <= 1.0:
        raise BadInput("idle_pu", "in 0..1", got=idle_pu)
    bad = np.flatnonzero(~((utilisation_pu >= 0.0) & (utilisation_pu <= 1.0)))
    if bad.size:
        raise BadInput("utilisation_pu", "in 0..1", int(bad[0]), float(utilisation_pu.ravel()[bad[0]]))
    return idle_pu + (1.0 - idle_pu) * (2.0 * utilisation_pu - utilisation_pu**EXPONENT)
