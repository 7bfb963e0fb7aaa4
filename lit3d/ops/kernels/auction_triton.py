"""The triton kernels behind `auction_cuda`: imported when they are first called, because triton is not everywhere.

One program works on one sample from the first bid to the last, so no step waits for the host and none is launched
twice. Points are (3, m): all x, all y, all z. A barrier stands between any store and the loads, by other threads of
the program, that must or must not see it.
"""

import triton
import triton.language as tl


@triton.jit
def distance_between(ax, ay, az, bx, by, bz):
    """Euclidean; the sum is written out because the plain-torch reference adds in the same order."""
    dx, dy, dz = ax - bx, ay - by, az - bz
    return tl.sqrt(dx * dx + dy * dy + dz * dz)


@triton.jit
def load_point(points, at, mask, m):
    """Three coordinates of the points (3, m) at some places, or at one; 0 where masked."""
    px = tl.load(points + at, mask=mask, other=0.0)
    py = tl.load(points + m + at, mask=mask, other=0.0)
    return px, py, tl.load(points + 2 * m + at, mask=mask, other=0.0)


@triton.jit(do_not_specialize=["n", "m"])
def least_values(rows, objects, price, least, n, m, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """Writes least (b n): min_j |row_i - object_j| + price_j for rows (b 3 n), objects (b 3 m), price (b m)."""
    sample = tl.program_id(1).to(tl.int64)
    i = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    rx, ry, rz = load_point(rows + sample * 3 * n, i, i < n, n)
    best = tl.full([ROWS], float("inf"), least.dtype.element_ty)
    for start in range(0, m, COLUMNS):
        j = start + tl.arange(0, COLUMNS)
        ox, oy, oz = load_point(objects + sample * 3 * m, j, j < m, m)
        p = tl.load(price + sample * m + j, mask=j < m, other=float("inf"))
        value = distance_between(rx[None], ry[None], rz[None], ox[:, None], oy[:, None], oz[:, None]) + p[:, None]
        best = tl.minimum(best, tl.min(value, axis=0))
    tl.store(least + sample * n + i, best, mask=i < n)


@triton.jit
def two_best(row, rows, objects, price, owner, m, UNOWNED: tl.constexpr, SLOTS: tl.constexpr, COLUMNS: tl.constexpr):
    """Of each row: least value distance + price, the first object that has it, and the least value of the others."""
    rx, ry, rz = load_point(rows, row, row >= 0, m)
    best = tl.full([SLOTS], float("inf"), tl.float32)
    second = tl.full([SLOTS], float("inf"), tl.float32)
    which = tl.zeros([SLOTS], tl.int32)
    for start in range(0, m, COLUMNS):
        j = start + tl.arange(0, COLUMNS)
        ox, oy, oz = load_point(objects, j, j < m, m)
        p = tl.load(price + j, mask=j < m, other=float("inf"))
        if UNOWNED:
            p = tl.where(tl.load(owner + j, mask=j < m, other=0) >= 0, float("inf"), p)
        # Rows lie along the last axis, one a lane: a minimum over objects stays within a lane until the warps meet.
        value = distance_between(rx[None], ry[None], rz[None], ox[:, None], oy[:, None], oz[:, None]) + p[:, None]
        here, at = tl.min(value, axis=0, return_indices=True)
        value = tl.where(tl.arange(0, COLUMNS)[:, None] == at[None], float("inf"), value)
        second = tl.minimum(tl.minimum(second, tl.min(value, axis=0)), tl.maximum(best, here))
        which = tl.where(here < best, start + at, which)
        best = tl.minimum(best, here)
    return best, which, second


@triton.jit
def free_rows(choice, queue, m, COLUMNS: tl.constexpr):
    """Writes the rows without an object into the queue, in order; returns how many."""
    count = 0
    tl.debug_barrier()
    for start in range(0, m, COLUMNS):
        i = start + tl.arange(0, COLUMNS)
        free = (tl.load(choice + i, mask=i < m, other=0) < 0).to(tl.int32)
        tl.store(queue + count + tl.cumsum(free, axis=0) - 1, i, mask=free > 0)
        count += tl.sum(free, axis=0)
    tl.debug_barrier()
    return count


@triton.jit
def release(
    rows, objects, price, owner, choice, epsilon, m, keep_within: tl.constexpr,
    SLOTS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """The dual value of the prices; `keep_within`: frees the rows whose object is not within epsilon of the best."""
    dual = tl.zeros([SLOTS], tl.float64)
    for start in range(0, m, SLOTS):
        row = start + tl.arange(0, SLOTS)
        best, _, _ = two_best(row % m, rows, objects, price, owner, m, False, SLOTS, COLUMNS)
        real = row < m
        dual += tl.where(real, best, 0.0).to(tl.float64)
        if keep_within:
            own = tl.load(choice + row, mask=real, other=-1)
            held = own >= 0
            rx, ry, rz = load_point(rows, row, held, m)
            ox, oy, oz = load_point(objects, own, held, m)
            value = distance_between(rx, ry, rz, ox, oy, oz) + tl.load(price + own, mask=held, other=0.0)
            loose = held & (value > best + epsilon)
            tl.debug_barrier()
            tl.store(choice + row, -1, mask=loose)
            tl.store(owner + own, -1, mask=loose)
            tl.debug_barrier()
    total = tl.sum(dual, axis=0)
    for start in range(0, m, COLUMNS):
        j = start + tl.arange(0, COLUMNS)
        total -= tl.sum(tl.load(price + j, mask=j < m, other=0.0).to(tl.float64), axis=0)
    return total


@triton.jit
def bid_rounds(
    rows, objects, price, owner, choice, queue, epsilon, leave, rounds, m,
    UNOWNED: tl.constexpr, SLOTS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Rounds of bids by up to SLOTS free rows at a time, until `leave` rows are free or the rounds are used up.

    A slot holds a row until it wins; then it goes on with the row that lost its object, or takes the next of the
    queue. The highest bid wins an object, at ties the lower slot. UNOWNED: no prices, every row takes the best object
    that nobody has, which ends after at most m rounds.
    """
    waiting = free_rows(choice, queue, m, COLUMNS)
    slot = tl.full([SLOTS], -1, tl.int32)
    number = tl.arange(0, SLOTS)
    head = 0
    turn = 0
    free = waiting
    while (free > leave) & (turn < rounds):
        empty = slot < 0
        place = head + tl.cumsum(empty.to(tl.int32), axis=0) - 1
        slot = tl.where(empty, tl.load(queue + place, mask=empty & (place < waiting), other=-1), slot)
        head = tl.minimum(head + tl.sum(empty.to(tl.int32), axis=0), waiting)
        best, which, second = two_best(slot, rows, objects, price, owner, m, UNOWNED, SLOTS, COLUMNS)
        if UNOWNED:
            bid = -best
        else:
            second = tl.where(second == float("inf"), best, second)  # a single object has no second
            bid = tl.load(price + which) + (second - best) + epsilon
        rival = (slot >= 0)[:, None] & (which[:, None] == which[None])
        beaten = rival & ((bid[:, None] > bid[None]) | ((bid[:, None] == bid[None]) & (number[:, None] < number[None])))
        won = (slot >= 0) & (tl.max(beaten.to(tl.int32), axis=0) == 0)
        evicted = tl.load(owner + which, mask=won, other=-1)
        tl.debug_barrier()
        tl.store(owner + which, slot, mask=won)
        tl.store(choice + slot, which, mask=won)
        tl.store(choice + evicted, -1, mask=won & (evicted >= 0))
        if not UNOWNED:
            tl.store(price + which, bid, mask=won)
        tl.debug_barrier()
        slot = tl.where(won, evicted, slot)
        free = tl.sum((slot >= 0).to(tl.int32), axis=0) + waiting - head
        turn += 1


@triton.jit
def values_of(rx, ry, rz, objects, price, j, m):
    """Distance + price of the objects j (a vector) for one row; infinite beyond the last."""
    ox, oy, oz = load_point(objects, j, j < m, m)
    return distance_between(rx, ry, rz, ox, oy, oz) + tl.load(price + j, mask=j < m, other=float("inf"))


@triton.jit
def shortest_path(first, rows, objects, price, owner, choice, key, passed, before, steps, m, COLUMNS: tl.constexpr):
    """Matches the free row `first` along a shortest augmenting path (Dijkstra); returns the steps left.

    Gives up, changing nothing, when the steps end before a free object is found. key (m,): tentative distance of an
    object, infinite once passed; passed (m,): its final distance; before (m,): the object before it on the path.
    Slack up to epsilon is taken for 0, so that a matching within epsilon of the best stays within it.
    """
    rx, ry, rz = load_point(rows, first, True, m)
    best = float("inf")
    at = 0
    for start in range(0, m, COLUMNS):
        j = start + tl.arange(0, COLUMNS)
        value = values_of(rx, ry, rz, objects, price, j, m)
        tl.store(key + j, value, mask=j < m)
        tl.store(passed + j, float("inf"), mask=j < m)
        tl.store(before + j, -1, mask=j < m)
        here, which = tl.min(value, axis=0, return_indices=True)
        at = tl.where(here < best, start + which, at)
        best = tl.minimum(best, here)
    tl.debug_barrier()
    holder = tl.load(owner + at)
    while (holder >= 0) & (steps > 0):
        tl.store(passed + at, best)
        tl.store(key + at, float("inf"))
        tl.debug_barrier()
        rx, ry, rz = load_point(rows, holder, True, m)
        ox, oy, oz = load_point(objects, at, True, m)
        base = distance_between(rx, ry, rz, ox, oy, oz) + tl.load(price + at)
        reached = best
        through = at
        best = float("inf")
        at = 0
        for start in range(0, m, COLUMNS):
            j = start + tl.arange(0, COLUMNS)
            there = reached + tl.maximum(values_of(rx, ry, rz, objects, price, j, m) - base, 0.0)
            known = tl.load(key + j, mask=j < m, other=float("inf"))
            shorter = (known != float("inf")) & (there < known)
            known = tl.where(shorter, there, known)
            tl.store(key + j, known, mask=shorter)
            tl.store(before + j, through, mask=shorter)
            here, which = tl.min(known, axis=0, return_indices=True)
            at = tl.where(here < best, start + which, at)
            best = tl.minimum(best, here)
        tl.debug_barrier()
        holder = tl.load(owner + at)
        steps -= 1
    if holder < 0:
        for start in range(0, m, COLUMNS):
            j = start + tl.arange(0, COLUMNS)
            rise = tl.maximum(best - tl.load(passed + j, mask=j < m, other=float("inf")), 0.0)
            tl.store(price + j, tl.load(price + j, mask=j < m, other=0.0) + rise, mask=j < m)
        previous = tl.load(before + at)
        while previous >= 0:
            moving = tl.load(owner + previous)
            tl.debug_barrier()
            tl.store(owner + at, moving)
            tl.store(choice + moving, at)
            tl.debug_barrier()
            at = previous
            previous = tl.load(before + at)
        tl.store(owner + at, first)
        tl.store(choice + first, at)
    tl.debug_barrier()
    return steps


@triton.jit(do_not_specialize=["leave", "rounds", "steps", "m"])
def settle(
    rows, objects, price, start, epsilon, owner, choice, queue, key, passed, before,
    ratio, smallest, shrink, leave, rounds, steps, m,
    FINISH: tl.constexpr, SLOTS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """One level of the auction for one sample: see `auction_cuda.settle_reference`, which does the same."""
    sample = tl.program_id(0).to(tl.int64)
    rows += sample * 3 * m
    objects += sample * 3 * m
    price += sample * m
    owner += sample * m
    choice += sample * m
    queue += sample * m
    dual = release(rows, objects, price, owner, choice, 0.0, m, False, SLOTS, COLUMNS)
    final = tl.maximum(ratio * (dual / m).to(tl.float32), smallest)
    now = tl.maximum(tl.load(start + sample), final)
    bid_rounds(rows, objects, price, owner, choice, queue, now, leave, rounds, m, False, SLOTS, COLUMNS)
    while now > final:
        now = now / shrink
        dual = release(rows, objects, price, owner, choice, tl.maximum(now, final), m, True, SLOTS, COLUMNS)
        final = tl.maximum(ratio * (dual / m).to(tl.float32), smallest)
        now = tl.maximum(now, final)
        bid_rounds(rows, objects, price, owner, choice, queue, now, leave, rounds, m, False, SLOTS, COLUMNS)
    tl.store(epsilon + sample, now)
    if FINISH:
        key += sample * m
        passed += sample * m
        before += sample * m
        waiting = free_rows(choice, queue, m, COLUMNS)
        k = 0
        while (k < waiting) & (steps > 0):
            first = tl.load(queue + k)
            steps = shortest_path(
                first, rows, objects, price, owner, choice, key, passed, before, steps, m, COLUMNS
            )  # fmt: skip
            k += 1
        bid_rounds(rows, objects, price, owner, choice, queue, 0.0, 0, m, m, True, SLOTS, COLUMNS)
