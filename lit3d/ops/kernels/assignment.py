"""Exact assignment between two point sets under Euclidean cost, without the n x n matrix: about 1 KB a point.

Prices come from an auction with epsilon scaling (Bertsekas 1988) on every 64th, 16th, 4th and at last every point,
coarse prices passing down by the c-transform; shortest augmenting paths then make the matching exact. Both work on
candidate lists (`assignment_lists`), whose invariant is what makes the result exact.
"""

import math
import threading
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from lit3d.ops.kernels.assignment_lists import (
    BOX,
    FAR,
    OPTIONS,
    ROOM,
    Lists,
    Objects,
    Scratch,
    distinct,
    enclose,
    first_lists,
    kd_order,
)
from lit3d.ops.kernels.assignment_search import Search, auction, finish
from lit3d.ops.kernels.jit import kernel

STEP = 4  # each level holds every 4th point of the next
SMALLEST = 64  # points on the coarsest level
THIN = 1e-2  # sets that are this close to a line (in units of their extent) start from the line's solution
ON_LINE = 1e-14  # sets this close to a line are on it
ALWAYS_DENSE, MOSTLY_LISTS, NEVER_DENSE = 288, 512, 1024  # points: see `dense_is_faster`
FIRST_GUIDED = 0.2  # first epsilon from prices that are nearly right, in mean gaps


class Space(NamedTuple):
    """All memory that an assignment of up to a number of points needs; p: that number up to a whole box."""

    rows: np.ndarray  # (p, 3)
    objects: Objects
    lists: Lists
    scratch: Scratch
    search: Search
    order: np.ndarray  # (2, p) int32: the k-d order of rows and objects
    kinds: np.ndarray  # (2, p) int32: which points of x, of y are the same
    table: np.ndarray  # (power of two >= 2p,) int32: hash table
    sorted_kinds: np.ndarray  # (p,) int32
    choice: np.ndarray  # (p,) int32: row -> object
    partner: np.ndarray  # (p,) int32: object -> row
    queue: np.ndarray  # (p,) int32
    coarse: np.ndarray  # (4, p): rows of a coarse level and their least values
    stack: np.ndarray  # (128,) int64


def make_space(n: int) -> Space:
    """Memory for assignments of up to n points."""
    p = (n + BOX - 1) // BOX * BOX
    real, whole = (lambda *shape: np.zeros(shape)), (lambda *shape: np.zeros(shape, np.int32))
    return Space(
        rows=real(p, 3),
        objects=Objects(real(3, p), real(p), real(6, p // BOX), real(p // BOX)),
        lists=Lists(np.zeros((p, ROOM), np.uint32), real(p, ROOM), real(p, ROOM), whole(p), real(p), real(p)),
        scratch=Scratch(
            whole(p // BOX + 1), real(p + ROOM), np.zeros(p + ROOM, np.uint32), real(p + ROOM), real(p + ROOM),
            np.zeros(ROOM, np.int64),
        ),
        search=Search(
            real(p), whole(p), np.zeros(p, np.uint8), whole(p), whole(p), real(2 * p), whole(2 * p), whole(2 * p),
            real(p), real(p), real(p), whole(p), whole(p), real(p),
        ),
        order=whole(2, p), kinds=whole(2, p), table=whole(1 << (2 * p - 1).bit_length()), sorted_kinds=whole(p),
        choice=whole(p), partner=whole(p), queue=whole(p), coarse=real(4, p), stack=np.zeros(128, np.int64),
    )  # fmt: skip


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
def place(a, b, scale, stride, space):
    """Copies every stride-th row of a and object of b (n, 3), in k-d order, into the space; returns how many."""
    rows, at, order = space.rows, space.objects.at, space.order
    m = 0
    for t in range(stride // 2, a.shape[0], stride):
        i, j = order[0, t], order[1, t]
        for d in range(3):
            rows[m, d], at[d, m] = a[i, d] * scale, b[j, d] * scale
        m += 1
    return m


@kernel(**OPTIONS)
def keep_coarse(m, space):
    """Remembers the rows of a level of m points and their least values, as far as the lists know."""
    coarse, lists, price = space.coarse, space.lists, space.objects.price
    for i in range(m):
        for d in range(3):
            coarse[d, i] = space.rows[i, d]
        least = lists.bound[i]
        for t in range(lists.length[i]):
            least = min(least, lists.cost[i, t] + price[lists.object[i, t]])
        coarse[3, i] = least


@kernel(**OPTIONS)
def coarse_prices(m, n, space):
    """Prices of n objects from m coarse rows by the c-transform max_i (u_i - |x_i - y_j|), made >= 0."""
    at, price, coarse = space.objects.at, space.objects.price, space.coarse
    for j in range(n):
        price[j] = -FAR
    for i in range(m):
        x0, x1, x2, u = coarse[0, i], coarse[1, i], coarse[2, i], coarse[3, i]
        for j in range(n):
            e0, e1, e2 = at[0, j] - x0, at[1, j] - x1, at[2, j] - x2
            price[j] = max(price[j], u - np.sqrt(e0 * e0 + e1 * e1 + e2 * e2))
    low = FAR
    for j in range(n):
        low = min(low, price[j])
    for j in range(n):
        price[j] -= low


@kernel(**OPTIONS)
def given_prices(guess, sign, scale, space):
    """Prices of the full level from a guess (n,) in the user's order and unit; made >= 0."""
    price, order, low = space.objects.price, space.order[1], FAR
    for t in range(guess.shape[0]):
        price[t] = sign * guess[order[t]] * scale
        low = min(low, price[t])
    for t in range(guess.shape[0]):
        price[t] -= low


@kernel(**OPTIONS)
def run_auction(m, epsilon, last, budget, space):
    """Lists at today's prices, then the auction from epsilon to last, in mean gaps. Returns (work, ended)."""
    enclose(m, space.objects)
    gap, work = first_lists(m, space.rows, space.objects, space.lists, space.scratch)
    for i in range(m):
        space.choice[i] = -1
    for j in range((m + BOX - 1) // BOX * BOX):
        space.partner[j] = -1
    if epsilon == 0.0 or gap < 1e-9:
        return work, True
    more, ended = auction(
        m, epsilon * gap, last * gap, space.rows, space.objects, space.lists, space.scratch,
        space.choice, space.partner, space.queue, budget - work,
    )  # fmt: skip
    return work + more, ended


@kernel(**OPTIONS)
def prices_by_levels(a, b, scale, levels, budget, space):
    """Coarse to fine: leaves rows, objects, prices, lists and the auction's choice of the full level in the space.

    levels: how many coarse levels. Returns (work, whether the budget lasted).
    """
    m, spent, stride = 0, 0, STEP**levels
    while True:
        before, m = m, place(a, b, scale, stride, space)
        if before > 0:
            coarse_prices(before, m, space)
        else:
            space.objects.price[:m] = 0.0
        work, ended = run_auction(m, 3.0 if before > 0 else 6.0, 0.3 if stride > 1 else 0.02, budget - spent, space)
        spent += work
        if not ended or stride == 1:
            return spent, ended
        keep_coarse(m, space)
        stride //= STEP


@kernel(**OPTIONS)
def solve(x, y, x_bits, y_bits, scale, guess, guided, budget, space, index, potential):
    """Matches x (n, 3) with y (n, 3); returns whether the budget lasted: then the matching is optimal.

    x_bits, y_bits: the same memory as int64. scale: from `unit_scale`, not 0. guess (2, n), used where `guided` > 0: a
    potential near the optimal one, and the first epsilon in mean gaps. budget: work allowed, in list builds. Writes
    index (n,) int64 into y and the optimal potential (2, n): f(x_i) - f(y_j) <= |x_i - y_j|, equal for matched pairs.
    """
    n = x.shape[0]
    in_x = distinct(x, x_bits, space.kinds[0], space.table, space.queue)
    in_y = distinct(y, y_bits, space.kinds[1], space.table, space.queue)
    # Rows: the side with many duplicates, for twins are skipped. Else objects: the smaller set, because optimal prices
    # differ by no more than the distance of their objects.
    swapped = in_y < in_x if min(in_x, in_y) < n // 2 else variance(x) < variance(y)
    a, b, kinds = (y, x, space.kinds[1]) if swapped else (x, y, space.kinds[0])
    kd_order(a, space.order[0, :n], space.stack)
    kd_order(b, space.order[1, :n], space.stack)
    if guided > 0.0 or min(in_x, in_y) < n // 8:  # few distinct points: bids would rise by epsilon only
        place(a, b, scale, 1, space)
        space.objects.price[:n] = 0.0
        if guided > 0.0:
            given_prices(guess[0 if swapped else 1], -1.0 if swapped else 1.0, scale, space)
        spent, ended = run_auction(n, guided, min(guided, 0.02), budget, space)
    else:
        levels, m = 0, n
        while m // STEP >= SMALLEST:
            levels, m = levels + 1, m // STEP
        spent, ended = prices_by_levels(a, b, scale, levels, budget, space)
    for t in range(n):
        space.sorted_kinds[t] = kinds[space.order[0, t]]
    if not ended or not finish(
        n, space.rows, space.objects, space.lists, space.scratch, space.search, space.choice, space.partner,
        space.queue, space.sorted_kinds, budget - spent,
    ):  # fmt: skip
        return False
    for t in range(n):
        row, thing = space.order[0, t], space.order[1, space.choice[t]]
        price, least = space.objects.price[space.choice[t]] / scale, space.search.dual[t] / scale
        if swapped:
            index[thing], potential[0, thing], potential[1, row] = row, -price, -least
        else:
            index[row], potential[0, row], potential[1, thing] = thing, least, price
    return True


@kernel(**OPTIONS)
def nearest_point(point, others):
    """Index of the row of others (n, 3) that is nearest to the point (3,), and the squared distance."""
    best, which = np.inf, 0
    for j in range(others.shape[0]):
        e0, e1, e2 = others[j, 0] - point[0], others[j, 1] - point[1], others[j, 2] - point[2]
        square = e0 * e0 + e1 * e1 + e2 * e2
        if square < best:
            best, which = square, j
    return which, best


@kernel(**OPTIONS)
def mutual(x, y, samples):
    """Of some points x: the share that are a nearest point of their own nearest point in y.

    About one half for independent sets; above 0.63 when y is x, slightly moved, or on one lattice.
    """
    n, found = x.shape[0], 0
    for s in range(samples):
        i = s * n // samples
        j, there = nearest_point(x[i], y)
        found += nearest_point(y[j], x)[1] >= there * (1.0 - 1e-9)
    return found / samples


@kernel(**OPTIONS)
def along_line(x, y, scale, keys):
    """Coordinates keys (2, n) of x and y along the line from x_0 to the farthest point, times scale.

    Returns how far off that line a point is at most, times scale.
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
    for s in range(2):
        points = y if s == 1 else x
        for i in range(n):
            key, square = 0.0, 0.0
            for d in range(3):
                key += (points[i, d] - x[0, d]) * scale * direction[d]
            for d in range(3):
                square += ((points[i, d] - x[0, d]) * scale - key * direction[d]) ** 2
            keys[s, i] = key
            off = max(off, square)
    return math.sqrt(off)


def line_potential(keys: np.ndarray) -> np.ndarray:
    """Optimal potential (2, n) on a line: slope 1 where more of y than of x lies to the left, -1 where less."""
    n = keys.shape[1]
    order = np.argsort(keys.ravel(), kind="stable")
    ahead = np.cumsum(np.where(order < n, -1, 1))
    steps = np.diff(keys.ravel()[order]) * np.sign(ahead[:-1])
    potential = np.empty(2 * n)
    potential[order] = np.concatenate([[0.0], np.cumsum(steps)])
    return potential.reshape(2, n)


@dataclass(frozen=True)
class Assigned:
    """A bijection x_i -> y_index[i] and its proof: f(x_i) - f(y_j) <= |x_i - y_j|, equal for matched pairs."""

    index: np.ndarray  # (n,) int64
    potential: np.ndarray  # (2, n): f at x, f at y


def _length(vectors: np.ndarray) -> np.ndarray:
    return np.linalg.norm(vectors, axis=1)


def assign(x: np.ndarray, y: np.ndarray, effort: float = math.inf) -> Assigned | None:
    """The bijection of least total Euclidean distance between x and y, both (n, 3) float64 and contiguous.

    Thread-safe; deterministic. effort: work allowed in list builds (about a microsecond each) a point; None when that
    is not enough.
    """
    n, scale = len(x), unit_scale(x, y)
    if scale == 0.0:
        return Assigned(np.arange(n), np.zeros((2, n)))
    if (x == x[0]).all():  # every bijection is optimal
        return Assigned(np.arange(n), np.stack([np.zeros(n), -_length((y - x[0]) * scale) / scale]))
    if (y == y[0]).all():
        return Assigned(np.arange(n), np.stack([_length((x - y[0]) * scale) / scale, np.zeros(n)]))
    keys, guess, guided = np.empty((2, n)), np.zeros((2, n)), 0.0
    off = along_line(x, y, scale, keys)
    if off < THIN:
        a, b = np.argsort(keys[0], kind="stable"), np.argsort(keys[1], kind="stable")
        guess, guided = line_potential(keys) / scale, FIRST_GUIDED
        index = np.empty(n, np.int64)
        index[a] = b
        if 4 * n * off <= 1e-11 * np.abs(keys[0, a] - keys[1, b]).sum():
            return Assigned(index, guess)
    index, potential = np.empty(n, np.int64), np.empty((2, n))
    budget = int(min(effort * n * (0.25 if guided > 0.0 else 1.0), 2**62))  # on a line dense solvers have it easy too
    done = solve(x, y, x.view(np.int64), y.view(np.int64), scale, guess, guided, budget, space_for(n), index, potential)
    return Assigned(index, potential) if done else None


def dense_is_faster(x: np.ndarray, y: np.ndarray) -> bool:
    """Whether a solver on the whole matrix is expected to be faster than `assign` (x, y as there); costs 1 or 2 %.

    Measured: on ordinary sets below 288 points; below 512 when many points coincide; below 1024 when one set is the
    other slightly moved or on the same lattice, and when both are thin.
    """
    n = len(x)
    if n < ALWAYS_DENSE or n >= NEVER_DENSE:
        return n < ALWAYS_DENSE
    space, scale = space_for(n), unit_scale(x, y)
    if scale == 0.0 or (x == x[0]).all() or (y == y[0]).all():
        return False
    if mutual(x, y, 64) > 0.63:
        return True
    off = along_line(x, y, scale, np.empty((2, n)))
    if off < THIN:
        return off > ON_LINE
    if n >= MOSTLY_LISTS:
        return False
    kinds = [distinct(p, p.view(np.int64), space.kinds[0], space.table, space.queue) for p in (x, y)]
    return off < 4 * THIN or min(kinds) < n // 2


_own = threading.local()


def space_for(n: int) -> Space:
    """This thread's memory for n points: kept, because fresh pages cost more than they seem when threads run."""
    if getattr(_own, "capacity", -1) < n:
        _own.space, _own.capacity = make_space(n), n
    space: Space = _own.space
    return space
