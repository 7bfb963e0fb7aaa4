"""Soft minimum of costs minus potentials, and its gradient, without the n x m matrix (CPU, float32 and float64).

Everything is in base 2: t_ij = potential_j - |x_i - y_j|^p * rate, where potential and rate carry log2(e) / epsilon.
All arrays of a call share one dtype, and so does the arithmetic.
"""

import math
from typing import Any

import numba
import numpy as np
from numba.extending import overload

from lit3d.ops.kernels.jit import kernel

TILE = 64  # rows a tile: their sums stay in the first cache
OPTIONS: dict[str, Any] = {"fastmath": {"contract"}, "error_model": "numpy"}
TAYLOR = [math.log(2) ** k / math.factorial(k) for k in range(13)]
C1, C2, C3, C4, C5, C6 = (np.float32(c) for c in TAYLOR[1:7])
D1, D2, D3, D4, D5, D6, D7, D8, D9, D10, D11, D12 = TAYLOR[1:]
HALF, ONE, LEAST = np.float32(0.5), np.float32(1), np.float32(-126)


def exp2(t):
    """2^t for t <= 0 inside kernels: relative error under 3e-7 in float32 (below -126 it stays 2^-126) and 1e-15 in
    float64 (below -1022 it stays 2^-1022).

    The Taylor series of degree 6 or 12 about the nearest integer: no library call, so loops around it vectorise.
    """
    raise NotImplementedError("only compiled code calls exp2")


@overload(exp2, inline="always")
def _exp2(t):
    return _exp2_single if t == numba.float32 else _exp2_double


def _exp2_single(t):
    t = max(t, LEAST)
    whole = np.int32(t - HALF)
    r = t - np.float32(whole)
    series = ONE + r * (C1 + r * (C2 + r * (C3 + r * (C4 + r * (C5 + r * C6)))))
    return series * np.int32((whole + np.int32(127)) << np.int32(23)).view(np.float32)


def _exp2_double(t):
    t = max(t, -1022.0)
    whole = np.int64(t - 0.5)
    r = t - np.float64(whole)
    high = D7 + r * (D8 + r * (D9 + r * (D10 + r * (D11 + r * D12))))
    series = 1.0 + r * (D1 + r * (D2 + r * (D3 + r * (D4 + r * (D5 + r * (D6 + r * high))))))
    return series * np.int64((whole + np.int64(1023)) << np.int64(52)).view(np.float64)


@kernel(**OPTIONS)
def exp2_all(t, out):
    """`exp2` of each element of t (n,)."""
    for i in range(t.shape[0]):
        out[i] = exp2(t[i])


@kernel(**OPTIONS)
def greatest(qx, qy, qz, y, potential, rate, squared, top):
    """For each row q of the tile the greatest t_qj: writes top (TILE,)."""
    top[:] = -np.inf
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
    """log2 sum_j 2^t_ij for each row i of x (n, 3): writes out (n,). y (m, 3), potential (m,)."""
    n, none = x.shape[0], x.dtype.type(0)
    qx, qy, qz = np.empty(TILE, x.dtype), np.empty(TILE, x.dtype), np.empty(TILE, x.dtype)
    top, total = np.empty(TILE, x.dtype), np.empty(TILE, x.dtype)
    for start in range(0, n, TILE):
        load_tile(x, start, qx, qy, qz)
        greatest(qx, qy, qz, y, potential, rate, squared, top)
        total[:] = none
        for j in range(y.shape[0]):
            px, py, pz, h = y[j, 0], y[j, 1], y[j, 2], potential[j]
            for q in range(TILE):
                dx, dy, dz = qx[q] - px, qy[q] - py, qz[q] - pz
                cost = dx * dx + dy * dy + dz * dz
                if not squared:
                    cost = np.sqrt(cost)
                total[q] += exp2(min(h - cost * rate - top[q], none))
        for q in range(min(TILE, n - start)):
            out[start + q] = top[q] + np.log2(total[q])


@kernel(**OPTIONS)
def pulls(x, y, potential, rate, squared, out):
    """sum_j w_ij grad |x_i - y_j|^p, w_i the softmax of t_i: writes out (n, 3). The gradient at distance 0 is 0."""
    n, none, one, two = x.shape[0], x.dtype.type(0), x.dtype.type(1), x.dtype.type(2)
    tiny = x.dtype.type(1e-30)
    qx, qy, qz = np.empty(TILE, x.dtype), np.empty(TILE, x.dtype), np.empty(TILE, x.dtype)
    top, total, pull = np.empty(TILE, x.dtype), np.empty(TILE, x.dtype), np.empty((3, TILE), x.dtype)
    for start in range(0, n, TILE):
        load_tile(x, start, qx, qy, qz)
        greatest(qx, qy, qz, y, potential, rate, squared, top)
        total[:] = none
        pull[:] = none
        for j in range(y.shape[0]):
            px, py, pz, h = y[j, 0], y[j, 1], y[j, 2], potential[j]
            for q in range(TILE):
                dx, dy, dz = qx[q] - px, qy[q] - py, qz[q] - pz
                cost = dx * dx + dy * dy + dz * dz
                slope = two
                if not squared:
                    cost = np.sqrt(cost)
                    slope = one / max(cost, tiny)
                weight = exp2(min(h - cost * rate - top[q], none))
                total[q] += weight
                weight *= slope
                pull[0, q] += weight * dx
                pull[1, q] += weight * dy
                pull[2, q] += weight * dz
        for q in range(min(TILE, n - start)):
            for d in range(3):
                out[start + q, d] = pull[d, q] / total[q]
