"""Levies on metered energy: on all that a connection imports, or on what a storage keeps of it."""

from enum import Enum

import numpy as np
from numpy.typing import NDArray


class LevyRule(Enum):
    """On what levies are due.

    `NET_OF_FED_BACK` is for connections with nothing but storage: what goes back to the grid was no consumption, so
    levies on it would fall due twice, here and where it is used. Losses stay levied, since one meter cannot tell
    them from use.

    References
    ----------
    Germany: EnWG § 118 (6) (grid fees, energy fed back), EnFG § 21, before it EEG 2017 § 61l (levies are balanced
    over a calendar year, at most to zero). European Union: Directive (EU) 2019/944, Article 15 (5) b (no double
    charges on stored energy).
    """

    IMPORT = "import"
    NET_OF_FED_BACK = "net_of_fed_back"


def levies_pico(
    net_export_milli_wh: NDArray[np.int64],
    levy_micro_per_kwh: NDArray[np.int64],
    rule: LevyRule,
    is_exempt: NDArray[np.bool_] | None = None,
) -> int:
    """Return the levies due for a span, >= 0.

    Parameters
    ----------
    net_export_milli_wh : NDArray[np.int64]
        Metered by interval, `(n_intervals,)`.
    levy_micro_per_kwh : NDArray[np.int64]
        Rate of each interval, `(n_intervals,)`.
    is_exempt : NDArray[np.bool_] | None
        Intervals without levies: those of an island.

    Notes
    -----
        IMPORT            sum_t max(-g_t, 0) * rate_t
        NET_OF_FED_BACK   max(-sum_t g_t * rate_t, 0)

    Amounts are balanced, not energies: what goes back saves the levies of its own hour.
    """
    rate = levy_micro_per_kwh if is_exempt is None else np.where(is_exempt, 0, levy_micro_per_kwh)
    dues: list[int] = [
        -net * levy for net, levy in zip(net_export_milli_wh.tolist(), rate.tolist(), strict=True)
    ]
    if rule is LevyRule.NET_OF_FED_BACK:
        return max(sum(dues), 0)
    return sum(due for due in dues if due > 0)
