"""Array types and the one uniform-grid interpolation that every table lookup of the package uses."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.float64]
IntArray: TypeAlias = NDArray[np.int64]
BoolArray: TypeAlias = NDArray[np.bool_]
Rows: TypeAlias = slice | IntArray


def rows_where(mask: BoolArray) -> Rows:
    """Return the rows where `mask` holds, as a slice (a view, no copy) if they are contiguous.

    Parameters
    ----------
    mask : (n,) bool

    Returns
    -------
    slice or (k,) int64
    """
    rows = np.flatnonzero(mask)
    if rows.size == 0:
        return slice(0, 0)
    first, last = int(rows[0]), int(rows[-1])
    if last - first + 1 == rows.size:
        return slice(first, last + 1)
    return rows


def interpolate_rows(table: FloatArray, row: IntArray, position: FloatArray) -> FloatArray:
    """Interpolate linearly in one row of a stack of tables per element.

    Parameters
    ----------
    table : (n_tables, n_cells + 1) float64
        Values on a uniform grid.
    row : (m,) int64
        The table of each element.
    position : (m,) float64
        Place on the grid in cells, in [0, n_cells]; values outside are clipped.

    Returns
    -------
    (m,) float64
    """
    index, fraction = grid_cells(position, table.shape[1])
    index += row * table.shape[1]
    return interpolate_at(table.reshape(-1), index, fraction)


def grid_cells(position: FloatArray, n_points: int) -> tuple[IntArray, FloatArray]:
    """Return the cell of each place on a uniform grid, and where in the cell it is, (m,) each.

    Parameters
    ----------
    position : (m,) float64
        In cells; values outside [0, n_points - 1] are clipped.
    """
    fraction = np.maximum(position, 0.0)
    np.minimum(fraction, n_points - 1.0, out=fraction)
    index = fraction.astype(np.int64)
    np.minimum(index, n_points - 2, out=index)
    fraction -= index
    return index, fraction


def interpolate_at(values: FloatArray, index: IntArray, fraction: FloatArray) -> FloatArray:
    """Interpolate linearly between the values at `index` and the ones after, (m,)."""
    low: FloatArray = values.take(index)
    rise: FloatArray = values.take(index + 1)
    rise -= low
    rise *= fraction
    low += rise
    return low
