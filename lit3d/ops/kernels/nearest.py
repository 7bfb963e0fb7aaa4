"""Nearest neighbours by brute force in tiles: the fastest for sets of up to about a thousand points; and gradients."""

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


@kernel()
def nearest_batch(x, y, squared, index):
    """`nearest_tiles` for each sample: one call for many small sets, because a call costs as much as 64 x 64 points."""
    for b in range(x.shape[0]):
        nearest_tiles(x[b], y[b], squared[b], index[b])


@kernel()
def pull_pairs(index, x, y, grad, on_x, on_y):
    """Gradients of sum_i grad_i |x_i - y_index(i)|^2 for each sample: writes on_x (b, n, d), adds to on_y (b, m, d)."""
    for b in range(x.shape[0]):
        for i in range(x.shape[1]):
            j, factor = index[b, i], 2 * grad[b, i]
            for d in range(x.shape[2]):
                pull = factor * (x[b, i, d] - y[b, j, d])
                on_x[b, i, d] = pull
                on_y[b, j, d] -= pull
