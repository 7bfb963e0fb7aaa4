"""Exact assignment between two point sets under Euclidean cost, without the n x n matrix: about 1 KB a point.

Prices come from an auction with epsilon scaling (Bertsekas 1988) on every 64th, 16th, 4th and at last every point,
coarse prices passing down by the c-transform; shortest augmenting paths then make the matching exact. Both work on
candidate lists (`assignment_lists`), whose invariant is what makes the result exact.
"""

import threading
from dataclasses import dataclass
from typing import NamedTuple

import lap
import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from lit3d.ops.kernels.assignment_kinds import (
    DENSE_ROOM,
    LISTS_FROM,
    SAMPLES,
    TESTS_FROM,
    Way,
    choose,
    distinct,
    line_potential,
    one_point,
    rank_of_partners,
    unit_scale,
    variance,
)
from lit3d.ops.kernels.assignment_lists import (
    BOX,
    FAR,
    OPTIONS,
    ROOM,
    Lists,
    Objects,
    Scratch,
    enclose,
    first_lists,
    kd_order,
)
from lit3d.ops.kernels.assignment_search import Search, auction, finish
from lit3d.ops.kernels.jit import kernel

STEP = 4  # each level holds every 4th point of the next
SMALLEST = 64  # points on the coarsest level
RANK = 2.0  # of the earlier partners, up to which earlier prices gain (measured: never under 0.85 times the speed)


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
def keep_centre(m, space):
    """The coarsest level of all: the mean of m rows as the only one, so that objects far away begin at equal values."""
    for d in range(3):
        mean = 0.0
        for i in range(m):
            mean += space.rows[i, d]
        space.coarse[d, 0] = mean / m
    space.coarse[3, 0] = 0.0


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
    if epsilon == 0.0 or gap < 1e-14:
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
        if before == 0:
            keep_centre(m, space)
        coarse_prices(max(before, 1), m, space)
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


@dataclass(frozen=True)
class Assigned:
    """A bijection x_i -> y_index[i] and its proof: f(x_i) - f(y_j) <= |x_i - y_j|, equal for matched pairs."""

    index: np.ndarray  # (n,) int64
    potential: np.ndarray | None  # (2, n): f at x, f at y; None from a dense solver
    way: Way


def effort(n: int) -> float:
    """Work in list builds a point (about a microsecond each) after which a set of n points goes to the dense solver.

    Ordinary sets need 5 to 10 (measured, 256 to 4096 points), hostile ones up to what stands here.
    """
    return min(0.06 * n + 30.0, 150.0)


def assign(
    x: np.ndarray, y: np.ndarray, earlier: Assigned | None = None, lists_only: bool = False, budget: float | None = None
) -> Assigned:
    """The bijection of least total Euclidean distance between x and y, both (n, 3) float64 and contiguous.

    Thread-safe; deterministic.

    Args:
        x: one set.
        y: the other.
        earlier: an answer for nearly the same sets in the same order: a warm start, taken where it promises to pay.
        lists_only: never a dense solver, so that there is a potential.
        budget: work allowed before a dense solver takes over; None: `effort`.
    """
    n, room = len(x), 0 if lists_only else DENSE_ROOM
    if n < TESTS_FROM and n <= room:
        return Assigned(dense(x, y), None, Way.LAPJVR)
    scale, keys = unit_scale(x, y), np.empty((2, n))
    way, guess, guided = Way.WARM, None, 0.0
    if earlier is not None and earlier.potential is not None and scale > 0.0 and n >= LISTS_FROM:
        rank = rank_of_partners(x, y, earlier.index, earlier.potential[1], SAMPLES)
        if rank <= RANK:
            guess, guided = earlier.potential, 0.2
    if guess is None:
        way = choose(x, y, scale, keys, lambda: fewer_distinct(x, y), room)
    if way is Way.TRIVIAL:
        return _trivial(x, y, scale)
    if way is Way.SORT:
        return _sorted(keys, scale)
    if way.dense:
        return Assigned(dense(x, y, way=way), None, way)
    if way is Way.LINE:
        guess, guided = line_potential(keys) / scale, 0.2
    elif way is Way.NEAR:
        guess, guided = np.zeros((2, n)), 0.1
    elif way in (Way.LEVELS, Way.APART):
        guess, guided = np.zeros((2, n)), 0.0
    index, potential = np.empty(n, np.int64), np.empty((2, n))
    allowed = effort(n) * (4.0 if way is Way.APART else 1.0) if budget is None else budget
    work = 2**62 if n > room else int(min(allowed * n, 2**62))
    bits = x.view(np.int64), y.view(np.int64)
    if solve(x, y, *bits, scale, guess, guided, work, space_for(n), index, potential):
        return Assigned(index, potential, way)
    return Assigned(dense(x, y), None, Way.LAPJVR)


def _trivial(x: np.ndarray, y: np.ndarray, scale: float) -> Assigned:
    """One side is a single point, so that every bijection is optimal. Lengths are scaled: squares may underflow."""
    single = x[0] if one_point(x) else y[0]
    f, g = (np.linalg.norm((p - single) * scale, axis=1) / (scale or 1.0) for p in (x, y))
    return Assigned(np.arange(len(x)), np.stack([f, -g]), Way.TRIVIAL)


def _sorted(keys: np.ndarray, scale: float) -> Assigned:
    """On one line: the k-th point of one side goes to the k-th of the other."""
    a, b = np.argsort(keys[0], kind="stable"), np.argsort(keys[1], kind="stable")
    index = np.empty(len(a), np.int64)
    index[a] = b
    return Assigned(index, line_potential(keys) / scale, Way.SORT)


def dense(x: np.ndarray, y: np.ndarray, metric: str = "euclidean", way: Way = Way.LAPJVR) -> np.ndarray:
    """The bijection (n,) of least total cost from the whole matrix of scipy's metric, 8 n^2 bytes."""
    cost = cdist(x, y, metric)
    index = linear_sum_assignment(cost)[1] if way is Way.SCIPY else lap.lapjvr(cost)[2]
    return np.asarray(index, np.int64)


def fewer_distinct(x: np.ndarray, y: np.ndarray) -> int:
    """Number of distinct points of the side that has fewer of them."""
    space = space_for(len(x))
    return min(distinct(p, p.view(np.int64), space.kinds[0], space.table, space.queue) for p in (x, y))


_own = threading.local()


def space_for(n: int) -> Space:
    """This thread's memory for n points: kept, because fresh pages cost more than they seem when threads run."""
    if getattr(_own, "capacity", -1) < n:
        _own.space, _own.capacity = make_space(n), n
    space: Space = _own.space
    return space
