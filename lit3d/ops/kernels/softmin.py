"""Soft minimum of costs minus potentials, and its gradient, without the n x m matrix (CPU, float32).

Everything is in base 2: t_ij = potential_j - |x_i - y_j|^p * rate, where potential and rate carry log2(e) / epsilon.
"""

import math

import numpy as np

from lit3d.ops.kernels.jit import kernel

TILE = 64  # rows a tile: their sums stay in the first cache
OPTIONS = {"fastmath": {"contract"}, "error_model": "numpy"}
C1, C2, C3, C4, C5, C6 = (np.float32(math.log(2) ** k / math.factorial(k)) for k in range(1, 7))
HALF, ONE, LEAST, TINY = np.float32(0.5), np.float32(1), np.float32(-126), np.float32(1e-30)


@kernel(inline="always", **OPTIONS)
def exp2(t):
    """2^t for float32 t <= 0, relative error under 3e-7; below -126 it stays 2^-126.

    The Taylor series of degree 6 about the nearest integer: no library call, so loops around it vectorise.
    """
    t = max(t, LEAST)
    whole = np.int32(t - HALF)
    r = t - np.float32(whole)
    series = ONE + r * (C1 + r * (C2 + r * (C3 + r * (C4 + r * (C5 + r * C6)))))
    return series * np.int32((whole + np.int32(127)) << np.int32(23)).view(np.float32)


@kernel(**OPTIONS)
def exp2_all(t, out):
    """`exp2` of each element of t (n,)."""
    for i in range(t.shape[0]):
        out[i] = exp2(t[i])


@kernel(**OPTIONS)
def greatest(qx, qy, qz, y, potential, rate, squared, top):
    """For each row q of the tile the greatest t_qj: writes top (TILE,)."""
    top[:] = np.float32(-np.inf)
    for j in range(y.shape[0]):
        px, py, pz, h = y[j, 0], y[j, 1], y[j, 2], potential[j]
        for q in range(TILE):
            dx, dy, dz = qx[q] - px, qy[q] - py, qz[q] - pz
            cost = dx * dx + dy * dy + dz * dz
            if not squared:
                cost = np.sqrt(cost)
            top[q] = max(top[q], h - cost * rate)


@kernel(**OPTIONS)
def load_tile(x, start, qx, qy, qz):
    """Coordinates of rows start .. start + TILE of x (n, 3); the last row fills up."""
    for q in range(TILE):
        i = min(start + q, x.shape[0] - 1)
        qx[q], qy[q], qz[q] = x[i, 0], x[i, 1], x[i, 2]


@kernel(**OPTIONS)
def log_sums(x, y, potential, rate, squared, out):
    """log2 sum_j 2^t_ij for each row i of x (n, 3): writes out (n,). y (m, 3), potential (m,), all float32."""
    n = x.shape[0]
    qx, qy, qz = np.empty(TILE, np.float32), np.empty(TILE, np.float32), np.empty(TILE, np.float32)
    top, total = np.empty(TILE, np.float32), np.empty(TILE, np.float32)
    for start in range(0, n, TILE):
        load_tile(x, start, qx, qy, qz)
        greatest(qx, qy, qz, y, potential, rate, squared, top)
        total[:] = np.float32(0)
        for j in range(y.shape[0]):
            px, py, pz, h = y[j, 0], y[j, 1], y[j, 2], potential[j]
            for q in range(TILE):
                dx, dy, dz = qx[q] - px, qy[q] - py, qz[q] - pz
                cost = dx * dx + dy * dy + dz * dz
                if not squared:
                    cost = np.sqrt(cost)
                total[q] += exp2(min(h - cost * rate - top[q], np.float32(0)))
        for q in range(min(TILE, n - start)):
            out[start + q] = top[q] + np.log2(total[q])


@kernel(**OPTIONS)
def pulls(x, y, potential, rate, squared, out):
    """sum_j w_ij grad |x_i - y_j|^p, w_i the softmax of t_i: writes out (n, 3). The gradient at distance 0 is 0."""
    n = x.shape[0]
    qx, qy, qz = np.empty(TILE, np.float32), np.empty(TILE, np.float32), np.empty(TILE, np.float32)
    top, total, pull = np.empty(TILE, np.float32), np.empty(TILE, np.float32), np.empty((3, TILE), np.float32)
    for start in range(0, n, TILE):
        load_tile(x, start, qx, qy, qz)
        greatest(qx, qy, qz, y, potential, rate, squared, top)
        total[:] = np.float32(0)
        pull[:] = np.float32(0)
        for j in range(y.shape[0]):
            px, py, pz, h = y[j, 0], y[j, 1], y[j, 2], potential[j]
            for q in range(TILE):
                dx, dy, dz = qx[q] - px, qy[q] - py, qz[q] - pz
                cost = dx * dx + dy * dy + dz * dz
                slope = np.float32(2)
                if not squared:
                    cost = np.sqrt(cost)
                    slope = ONE / max(cost, TINY)
                weight = exp2(min(h - cost * rate - top[q], np.float32(0)))
                total[q] += weight
                weight *= slope
                pull[0, q] += weight * dx
                pull[1, q] += weight * dy
                pull[2, q] += weight * dz
        for q in range(min(TILE, n - start)):
            for d in range(3):
                out[start + q, d] = pull[d, q] / total[q]
