"""A server's power over utilisation: ends, shape and refusals."""

import numpy as np
import pytest

from devices.errors import BadInput
from devices.server import IDLE_PU, server_power_pu


def test_idle_and_full_servers_draw_the_ends_of_the_model():
    assert server_power_pu(np.array([0.0, 1.0])) == pytest.approx([IDLE_PU, 1.0], abs=1e-15)
    assert server_power_pu(np.array([0.0]), idle_pu=0.5) == pytest.approx([0.5])


def test_half_load_draws_what_the_published_formula_says():
    # Fan et al.: P = P_idle + (P_busy - P_idle)(2u - u^1.4); by hand 2/2 - 0.5^1.4 = 0.62107.
    assert server_power_pu(np.array([0.5]), idle_pu=0.4) == pytest.approx([0.4 + 0.6 * 0.6210708], rel=1e-7)


def test_power_rises_with_utilisation():
    assert np.all(np.diff(server_power_pu(np.linspace(0, 1, 101))) > 0)


@pytest.mark.parametrize(("utilisation", "idle"), [(-0.1, 0.3), (1.1, 0.3), (np.nan, 0.3), (0.5, 1.2)])
def test_what_is_no_share_is_refused(utilisation, idle):
    with pytest.raises(BadInput):
        server_power_pu(np.array([utilisation]), idle)
