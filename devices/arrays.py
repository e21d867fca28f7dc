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
    n_points = table.shape[1]
    flat = table.ravel()
    cell = np.clip(position, 0.0, n_points - 1.0)
    index = np.minimum(cell.astype(np.int64), n_points - 2)
    fraction = cell - index
    index += row * n_points
    low: FloatArray = flat.take(index)
    index += 1
    low += fraction * (flat.take(index) - low)
    return low
