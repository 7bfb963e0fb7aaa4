"""Cheap tests that tell what kind of pair two point sets are, and so how they are matched fastest: see `choose`."""

import enum
import math
from collections.abc import Callable

import numpy as np

from lit3d.ops.kernels.jit import kernel

OPTIONS = {"fastmath": {"contract"}, "error_model": "numpy"}
THIN = 2e-2  # sets that are this close to a line (in units of their extent along it) resemble one
ON_LINE = 1e-12  # sets this close to a line may be on it, as far as their distance tells
MUTUAL = 0.66  # share of mutual neighbours above which one set is the other, slightly moved
TIES = 8.0  # nearest points at the same distance that a lattice may have; more are duplicates
SAMPLES = 48  # points that a test looks at


# Numbers of points; measured on all kinds of sets in tests/ops/test_assignment.py, one thread.
TESTS_FROM = 96  # below, tests cost more than they save
LISTS_FROM = 256  # below, a dense solver is faster on nearly everything
NEAR_FROM, LATTICE_FROM = 400, 700
MOSTLY_LISTS = 640  # below, a dense solver is faster where many points coincide
FEW_KINDS_UP_TO = 1024  # the same where nearly all coincide
DENSE_ROOM = 4096  # no matrix for more points: 128 MB


class Way(enum.Enum):
    """How a pair of sets is matched."""

    TRIVIAL = "one side is a single point: every bijection is optimal"
    SORT = "both sides on one line"
    LEVELS = "candidate lists, prices from coarse to fine"
    APART = "the same, with more patience: the sets are far from each other, and dense solvers are slow there too"
    NEAR = "candidate lists from prices 0: one set is the other, slightly moved"
    LINE = "candidate lists from the prices on a line"
    WARM = "candidate lists from earlier prices"
    LAPJVR = "Jonker-Volgenant on the whole matrix"
    SCIPY = "scipy's solver on the whole matrix"

    @property
    def dense(self) -> bool:
        """Whether the way needs the n x n matrix."""
        return self in (Way.LAPJVR, Way.SCIPY)


@kernel(**OPTIONS)
def variance(points):
    """Mean squared distance of points (n, 3) from their mean."""
    n, total = points.shape[0], 0.0
    for d in range(3):
        mean = 0.0
        for i in range(n):
            mean += points[i, d]
        mean /= n
        for i in range(n):
            total += (points[i, d] - mean) ** 2
    return total / n


@kernel(**OPTIONS)
def unit_scale(x, y):
    """The power of two that brings the greatest extent of both sets into [0.5, 1); 0 if all points are the same.

    Scaling by it is exact, and every tolerance of the algorithm can be absolute.
    """
    extent = 0.0
    for d in range(3):
        low = high = x[0, d]
        for i in range(x.shape[0]):
            low, high = min(low, min(x[i, d], y[i, d])), max(high, max(x[i, d], y[i, d]))
        extent = max(extent, high - low)
    if extent == 0.0:
        return 0.0
    return math.ldexp(1.0, -max(math.frexp(extent)[1], -1000))


@kernel(**OPTIONS)
def one_point(points):
    """Whether all points (n, 3) are the same."""
    for i in range(1, points.shape[0]):
        for d in range(3):
            if points[i, d] != points[0, d]:
                return False
    return True


@kernel(**OPTIONS)
def nearest_point(point, others, scale):
    """Of the rows of others (n, 3) the nearest to the point (3,): (index, squared distance times scale^2, how many)."""
    best, which, ties = np.inf, 0, 0
    for j in range(others.shape[0]):
        square = 0.0
        for d in range(3):
            square += ((others[j, d] - point[d]) * scale) ** 2
        if square < best * (1.0 - 1e-9):
            best, which, ties = square, j, 1
        elif square <= best * (1.0 + 1e-9):
            ties += 1
    return which, best, ties


@kernel(**OPTIONS)
def mutual(x, y, scale, samples):
    """Of some points x: the share that are a nearest point of their own nearest point in y, and the mean ties.

    The share is about one half for independent sets and nearly one when y is x, slightly moved, or on one lattice.
    """
    n, found, equal = x.shape[0], 0, 0
    for s in range(samples):
        i = (s * 7 % samples) * n // samples
        j, there, ties = nearest_point(x[i], y, scale)
        _, back, others = nearest_point(y[j], x, scale)
        found += back >= there * (1.0 - 1e-9)
        equal += max(ties, others)
        if s == 15 and (found >= 15 or found <= 8):  # clear already
            return found / 16, equal / 16
    return found / samples, equal / samples


@kernel(**OPTIONS)
def along_line(x, y, scale, keys):
    """Coordinates keys (2, n) of x and y along the line from x_0 to the farthest point, times scale.

    Returns, times scale: how far off that line a point is at most, the extent along it of the longer set, and of both.
    """
    n, farthest, off = x.shape[0], 0.0, 0.0
    direction = np.zeros(3)
    for s in range(2):
        points = y if s == 1 else x
        for i in range(n):
            square = 0.0
            for d in range(3):
                square += ((points[i, d] - x[0, d]) * scale) ** 2
            if square > farthest:
                farthest = square
                for d in range(3):
                    direction[d] = (points[i, d] - x[0, d]) * scale
    direction /= math.sqrt(farthest)
    own, least, greatest = 0.0, np.inf, -np.inf
    for s in range(2):
        points, low, high = y if s == 1 else x, np.inf, -np.inf
        for i in range(n):
            key, square = 0.0, 0.0
            for d in range(3):
                key += (points[i, d] - x[0, d]) * scale * direction[d]
            for d in range(3):
                square += ((points[i, d] - x[0, d]) * scale - key * direction[d]) ** 2
            keys[s, i] = key
            off, low, high = max(off, square), min(low, key), max(high, key)
        own, least, greatest = max(own, high - low), min(least, low), max(greatest, high)
    return math.sqrt(off), own, greatest - least


def line_potential(keys: np.ndarray) -> np.ndarray:
    """Optimal potential (2, n) on a line: slope 1 where more of y than of x lies to the left, -1 where less."""
    n = keys.shape[1]
    order = np.argsort(keys.ravel(), kind="stable")
    ahead = np.cumsum(np.where(order < n, -1, 1))
    steps = np.diff(keys.ravel()[order]) * np.sign(ahead[:-1])
    potential = np.empty(2 * n)
    potential[order] = np.concatenate([[0.0], np.cumsum(steps)])
    return potential.reshape(2, n)


@kernel(**OPTIONS)
def distinct(points, bits, kinds, table, first):
    """Numbers the points (n, 3) so that equal ones share a number; returns how many numbers. bits: points as int64.

    kinds, first: (n,) int32; table: (power of two >= 2n,) int32.
    """
    n, mask, found = points.shape[0], table.shape[0] - 1, 0
    for t in range(table.shape[0]):
        table[t] = -1
    for i in range(n):
        h = bits[i, 0] * 73856093 ^ bits[i, 1] * 19349663 ^ bits[i, 2] * 83492791
        h = (h ^ (h >> 17) ^ (h >> 37)) & mask
        while True:
            kind = table[h]
            if kind < 0:
                table[h], first[found], kinds[i] = found, i, found
                found += 1
                break
            j = first[kind]
            if points[i, 0] == points[j, 0] and points[i, 1] == points[j, 1] and points[i, 2] == points[j, 2]:
                kinds[i] = kind
                break
            h = (h + 1) & mask
    return found


@kernel(**OPTIONS)
def rank_of_partners(x, y, index, price, samples):
    """Of some points x: how many objects have, on average, less value |x_i - y_j| + price_j than the old partner.

    0 when earlier prices and bijection (index (n,), price (n,)) are optimal for these sets; free of any unit.
    """
    n, better = x.shape[0], 0
    for s in range(samples):
        i = s * n // samples
        x0, x1, x2, j = x[i, 0], x[i, 1], x[i, 2], index[i]
        own = np.sqrt((y[j, 0] - x0) ** 2 + (y[j, 1] - x1) ** 2 + (y[j, 2] - x2) ** 2) + price[j]
        for k in range(n):
            e0, e1, e2 = y[k, 0] - x0, y[k, 1] - x1, y[k, 2] - x2
            better += np.sqrt(e0 * e0 + e1 * e1 + e2 * e2) + price[k] < own
    return better / samples


def choose(
    x: np.ndarray, y: np.ndarray, scale: float, keys: np.ndarray, distinct_points: Callable[[], int], room: int
) -> Way:
    """The way expected to be the fastest for x and y (n, 3), both float64 and contiguous; costs 1 or 2 % of it.

    Args:
        x: one set.
        y: the other.
        scale: from `unit_scale`.
        keys: written: coordinates (2, n) along the line that both sets may be on.
        distinct_points: counts the distinct points of the side that has fewer.
        room: the most points for which there may be a matrix.
    """
    n = len(x)
    if scale == 0.0 or one_point(x) or one_point(y):
        return Way.TRIVIAL
    off, own, both = along_line(x, y, scale, keys)
    if off < ON_LINE and 4 * n * off <= 1e-11 * np.abs(np.sort(keys[0]) - np.sort(keys[1])).sum():
        return Way.SORT
    if 5.0 * own < both and n >= min(LISTS_FROM, room + 1):
        return Way.APART
    if n >= min(LISTS_FROM, room + 1):
        shared, ties = mutual(x, y, scale, SAMPLES)
        if shared > MUTUAL and ties <= TIES:
            return Way.LAPJVR if n <= room and n < (NEAR_FROM if ties < 1.5 else LATTICE_FROM) else Way.NEAR
    if off < THIN * own:
        return Way.LAPJVR if n <= room else Way.LINE
    if n <= room and n < FEW_KINDS_UP_TO:
        kinds = distinct_points() if n >= LISTS_FROM else n
        if n < LISTS_FROM or kinds < n // 32 or (n < MOSTLY_LISTS and (off < 2 * THIN * own or kinds < n // 2)):
            return Way.SCIPY if blob(x, y) else Way.LAPJVR
    return Way.LEVELS


@kernel(**OPTIONS)
def blob(x, y):
    """Whether one set is small and in the middle of the other: there lapx's dense solver loses to scipy's."""
    centre, radius = np.zeros((2, 3)), np.zeros(2)
    for s in range(2):
        points = y if s == 1 else x
        n = points.shape[0]
        for d in range(3):
            for i in range(n):
                centre[s, d] += points[i, d] / n
            for i in range(n):
                radius[s] += abs(points[i, d] - centre[s, d]) / n
    apart = np.abs(centre[0] - centre[1]).sum()
    return 2.0 * radius.min() < radius.max() and 2.0 * apart < radius.max()
