"""Fairness KPIs: how evenly something is spread over the members of a community."""

from collections.abc import Sequence

from market.errors import MarketError


def jain(values: Sequence[float]) -> float | None:
    """Return Jain's index: 1 if all have the same, 1/n if one has all.

    `J = (sum x)^2 / (n sum x^2)`; 1 if all are zero, None if there is nobody. Signed values are allowed: by
    Cauchy-Schwarz the index stays within 0..1, and losses beside gains pull it down, as they should.

    References
    ----------
    R. Jain, D. Chiu, W. Hawe, "A quantitative measure of fairness and discrimination for resource allocation in
    shared computer systems", DEC-TR-301, 1984.
    """
    if not values:
        return None
    scale = max(abs(v) for v in values)
    if scale == 0:
        return 1.0
    scaled = [v / scale for v in values]  # savings in pico-credit would overflow when squared
    return float(sum(scaled) ** 2 / (len(scaled) * sum(v * v for v in scaled)))


def gini(values: Sequence[float]) -> float | None:
    """Return the Gini coefficient: 0 if all have the same, (n - 1)/n if one has all.

    `G = sum_i sum_j |x_i - x_j| / (2 n^2 mean)`, computed from the sorted values as
    `sum_i (2 i - n - 1) x_i / (n sum x)`; None if there is nobody or nothing to share.

    Raises
    ------
    MarketError
        If a value is negative: the coefficient has no meaning then (use Jain's index for signed savings).

    References
    ----------
    C. Gini, "Variabilità e mutabilità", Bologna 1912.
    """
    if any(v < 0 for v in values):
        raise MarketError("Gini is defined for values >= 0 only")
    total = sum(values)
    if not values or total == 0:
        return None
    n = len(values)
    weighted = sum((2 * i - n + 1) * v for i, v in enumerate(sorted(values)))
    return weighted / (n * total)


def hhi(volumes: Sequence[float]) -> float | None:
    """Return the Herfindahl-Hirschman index of market shares: 1 is a monopoly, 1/n is n equal sellers.

    `H = sum (v / sum v)^2`; None if nothing was traded.

    Raises
    ------
    MarketError
        If a volume is negative.

    References
    ----------
    A. Hirschman, "The paternity of an index", American Economic Review 54 (1964), 761.
    """
    if any(v < 0 for v in volumes):
        raise MarketError("a traded volume is negative")
    total = sum(volumes)
    return sum((v / total) ** 2 for v in volumes) if total else None
