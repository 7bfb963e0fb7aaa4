"""Nearest neighbours by brute force in tiles: the definition, fast enough for sets of a few thousand points."""

import numpy as np

from lit3d.ops.kernels.jit import kernel

TILE = 64  # queries a tile: best distance and index of all of them stay in vector registers or the first cache


@kernel(fastmath={"contract"})
def nearest_tiles(x, y, squared, index):
    """For each row of x (n, 3) the nearest row of y (m, 3): writes squared distance (n,) and index (n,) int64.

    The loop over the queries of a tile is the inner one and selects instead of branching, so it vectorises; ties go
    to the smallest index.
    """
    n, m = x.shape[0], y.shape[0]
    qx, qy, qz = np.empty(TILE, x.dtype), np.empty(TILE, x.dtype), np.empty(TILE, x.dtype)
    best, which = np.empty(TILE, x.dtype), np.empty(TILE, np.int32)
    for start in range(0, n, TILE):
        for q in range(TILE):
            i = min(start + q, n - 1)
            qx[q], qy[q], qz[q] = x[i, 0], x[i, 1], x[i, 2]
            best[q] = np.inf
            which[q] = 0
        for j in range(m):
            px, py, pz = y[j, 0], y[j, 1], y[j, 2]
            for q in range(TILE):
                dx, dy, dz = qx[q] - px, qy[q] - py, qz[q] - pz
                distance = dx * dx + dy * dy + dz * dz
                closer = distance < best[q]
                best[q] = distance if closer else best[q]
                which[q] = np.int32(j) if closer else which[q]
        for q in range(min(TILE, n - start)):
            squared[start + q] = best[q]
            index[start + q] = which[q]
