"""Sinkhorn iterations on lists of the pairs that carry mass: where blur is small, few of the n x m do (CPU, float64).

Units are those of `softmin`: potentials f, g and costs k times rate, in base 2. The plan is
2^(f_i + g_j - k_ij) / (n m). A pair is listed where it exceeds 2^-(faint + DRIFT) of an even plan's, and all are listed
anew before one that is not could exceed 2^-faint: less than that part of any marginal is left out. Whoever calls checks
the result over all pairs.
"""

import numpy as np

from lit3d.ops.kernels.jit import kernel
from lit3d.ops.kernels.softmin import OPTIONS, exp2

DRIFT = 22.0  # how far the sum of two potentials may move before pairs are listed anew
CHUNK = 32  # pairs that are dismissed by one comparison
OMEGA, FASTEST, BLOCK = 1.8, 1.95, 20  # over-relaxation: first, greatest; iterations between looks at the error
NEVER = -1e300  # potential of a point that only fills a chunk
IN_ANY_ORDER = {**OPTIONS, "fastmath": {"contract", "reassoc", "nnan", "nsz"}}  # a greatest of a chunk vectorises


@kernel(inline="always", **IN_ANY_ORDER)
def cost_of(dx, dy, dz, rate, squared):
    """|d|^p times rate."""
    squares = dx * dx + dy * dy + dz * dz
    return rate * (squares if squared else np.sqrt(squares))


@kernel(**IN_ANY_ORDER)
def greatest(px, py, pz, columns, g, begin, rate, squared):
    """The greatest g_j - k_j over a chunk of columns (3, n)."""
    top = NEVER
    for j in range(begin, begin + CHUNK):
        top = max(top, g[j] - cost_of(px - columns[0, j], py - columns[1, j], pz - columns[2, j], rate, squared))
    return top


@kernel(**IN_ANY_ORDER)
def list_pairs(x, y, f, g, rate, squared, slack, room):
    """Listed pairs by row of x: (starts (n + 1,), columns, costs k); no columns when there are more than `room`.

    slack: a pair is listed where f_i + g_j - k_ij exceeds -slack.
    """
    n, m = x.shape[0], y.shape[0]
    points, potential = np.zeros((3, m + CHUNK)), np.full(m + CHUNK, NEVER)
    points[:, :m], potential[:m] = y.T, g
    starts, columns, costs, count = np.zeros(n + 1, np.int64), np.empty(room, np.int32), np.empty(room), 0
    for i in range(n):
        px, py, pz, least = x[i, 0], x[i, 1], x[i, 2], -slack - f[i]
        for begin in range(0, m, CHUNK):
            if greatest(px, py, pz, points, potential, begin, rate, squared) <= least:
                continue
            for j in range(begin, min(begin + CHUNK, m)):
                cost = cost_of(px - points[0, j], py - points[1, j], pz - points[2, j], rate, squared)
                if potential[j] - cost > least:
                    if count == room:
                        return np.zeros(n + 1, np.int64), columns[:0], costs[:0]
                    columns[count], costs[count] = j, cost
                    count += 1
        starts[i + 1] = count
    return starts, columns[:count].copy(), costs[:count].copy()


@kernel(**OPTIONS)
def transpose(starts, columns, costs, m):
    """The same pairs by column."""
    begins = np.zeros(m + 1, np.int64)
    for j in columns:
        begins[j + 1] += 1
    begins = np.cumsum(begins)
    fill = begins[:-1].copy()
    rows, values = np.empty(len(columns), np.int32), np.empty(len(columns), np.float64)
    for i in range(len(starts) - 1):
        for s in range(starts[i], starts[i + 1]):
            at = fill[columns[s]]
            rows[at], values[at] = i, costs[s]
            fill[columns[s]] += 1
    return begins, rows, values


@kernel(**IN_ANY_ORDER)
def relax(f, g, pairs, omega):
    """f_i <- f_i - omega log2(mass of row i; 1 is right) in place. Returns the mean of |mass - 1| before."""
    starts, columns, costs = pairs
    error = 0.0
    for i in range(f.shape[0]):
        mass = 0.0
        for s in range(starts[i], starts[i + 1]):
            mass += exp2(min(f[i] + g[columns[s]] - costs[s], 1000.0))
        mass /= g.shape[0]
        error += abs(mass - 1)
        if mass > 0:
            f[i] -= omega * np.log2(mass)
    return error / f.shape[0]


@kernel(**OPTIONS)
def settled(f, g, by_row, by_column, omega, goal, most, drift):
    """Over-relaxed updates of f and g, in place, until goal, `most` iterations or `drift`: (error, omega, iterations).

    Thibault et al. 2021: the same fixed point, reached in about the square root of the iterations. The factor falls
    when the error grows and creeps up while it falls slowly. drift: the most that a potential may move.
    """
    f0, g0, last, error = f.copy(), g.copy(), np.inf, np.inf
    for k in range(most):
        error = relax(f, g, by_row, omega)
        error = max(error, relax(g, f, by_column, omega))
        if error < goal or max(np.abs(f - f0).max(), np.abs(g - g0).max()) > drift:
            return error, omega, k + 1
        if k % BLOCK == BLOCK - 1:
            if error > last:
                omega = 1 + (omega - 1) / 2
            elif error > last / 2:
                omega = min(FASTEST, omega + 0.02)
            last = error
    return error, omega, most


@kernel(**OPTIONS)
def settle(x, y, f, g, rates, goals, squared, faint, most, room):
    """Bring f and g, in place, from the units of rates[0] through all rates, each until the error is under its goal.

    Returns (level, iterations left): level = len(rates) when all are done; before that the pairs did not fit in `room`
    or no iterations are left. f and g are then in units of rates[min(level, last)].
    """
    by_row = list_pairs(x, y, f, g, rates[0], squared, faint + DRIFT, room)
    by_column, slack = transpose(by_row[0], by_row[1], by_row[2], len(y)), faint + DRIFT
    for level in range(len(rates)):
        if level:  # smaller blur, the same pairs: more slack than they need
            ratio = rates[level] / rates[level - 1]
            slack *= ratio
            for scaled in (f, g, by_row[2], by_column[2]):
                scaled *= ratio
        omega, error = OMEGA, np.inf
        while error >= goals[level]:
            if len(by_row[1]) == 0 or most <= 0:
                return level, most
            drift = (slack - faint) / 2
            before_f, before_g = f.copy(), g.copy()
            error, omega, spent = settled(f, g, by_row, by_column, omega, goals[level], most, drift)
            most -= spent
            slack -= 2 * max(np.abs(f - before_f).max(), np.abs(g - before_g).max())
            if slack < faint + 1:
                by_row = list_pairs(x, y, f, g, rates[level], squared, faint + DRIFT, room)
                by_column, slack = transpose(by_row[0], by_row[1], by_row[2], len(y)), faint + DRIFT
    return len(rates), most
