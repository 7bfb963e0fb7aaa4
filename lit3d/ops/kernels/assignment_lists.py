"""Candidate lists: what lets an assignment between point sets be solved exactly without the n x n cost matrix.

Rows bid for objects; the value of object j for row i is |x_i - y_j| + price_j, smaller is better. List i holds objects
in ascending order of value as it was when the list was built, and a bound:

    INVARIANT  prices only rise, hence every object outside list i has value >= bound_i for ever, and every object in
               it has today's value >= its stored value.

So the least value is known from the list alone as long as it does not exceed the bound; if it does, the list is built
anew. Building uses boxes: objects stand in the order of a k-d tree, 16 to a box, each box with its least price.
All lengths are in units of the extent of the sets (see `assignment.assign`); prices are >= 0.
"""

from typing import NamedTuple

import numpy as np

from lit3d.ops.kernels.jit import kernel

BOX = 16  # objects to a box
ROOM = 32  # objects that a list can hold
WANTED = 16  # objects that a list should hold
FEWEST = 6  # objects that a list must hold
FAR = 1e300  # price of the objects that only fill the last box

OPTIONS = {"fastmath": {"contract"}, "error_model": "numpy"}


class Objects(NamedTuple):
    """The side that is bid for, in k-d order."""

    at: np.ndarray  # (3, n up to a whole box)
    price: np.ndarray  # (n up to a whole box,)
    corner: np.ndarray  # (6, boxes): least and greatest x, y, z
    least: np.ndarray  # (boxes,): least price


class Lists(NamedTuple):
    """One list a row; see the invariant above."""

    object: np.ndarray  # (n, ROOM) uint32
    cost: np.ndarray  # (n, ROOM): distance
    value: np.ndarray  # (n, ROOM): distance + price when the list was built, ascending
    length: np.ndarray  # (n,) int32
    bound: np.ndarray  # (n,)
    width: np.ndarray  # (n,): how far above the least value the next list should reach; adapts itself


class Scratch(NamedTuple):
    """Room for one list in the making; the lengths are those of `Objects`."""

    box: np.ndarray  # int32
    test: np.ndarray
    near: np.ndarray  # uint32
    cost: np.ndarray
    value: np.ndarray
    rank: np.ndarray  # (ROOM,) int64


@kernel(**OPTIONS)
def kd_order(points, order, stack):
    """Writes to order (n,) the k-d tree order of points (n, 3): every 16 in a row make a box. stack: (128,) int64."""
    n = points.shape[0]
    for t in range(n):
        order[t] = t
    stack[0], stack[1] = 0, n
    depth = 2
    while depth > 0:
        depth -= 2
        low, high = stack[depth], stack[depth + 1]
        if high - low <= BOX:
            continue
        axis, widest = 0, 0.0
        for d in range(3):
            least = greatest = points[order[low], d]
            for t in range(low + 1, high):
                least, greatest = min(least, points[order[t], d]), max(greatest, points[order[t], d])
            if greatest - least > widest:
                axis, widest = d, greatest - least
        if widest == 0.0:
            continue
        middle = low + (high - low + BOX - 1) // BOX // 2 * BOX
        first, last = low, high - 1
        while first < last:  # Hoare's selection: order[middle] comes to its place
            pivot = points[order[(first + last) >> 1], axis]
            i, j = first, last
            while i <= j:
                while points[order[i], axis] < pivot:
                    i += 1
                while points[order[j], axis] > pivot:
                    j -= 1
                if i <= j:
                    order[i], order[j] = order[j], order[i]
                    i += 1
                    j -= 1
            if middle <= j:
                last = j
            elif middle >= i:
                first = i
            else:
                break
        stack[depth], stack[depth + 1], stack[depth + 2], stack[depth + 3] = low, middle, middle, high
        depth += 4


@kernel(**OPTIONS)
def enclose(n, objects):
    """Fills the last box with objects nobody wants and computes the boxes' corners and least prices."""
    at, price, corner, least = objects
    boxes = (n + BOX - 1) // BOX
    for j in range(n, boxes * BOX):
        price[j] = FAR
        at[0, j] = at[1, j] = at[2, j] = 0.0
    for b in range(boxes):
        for d in range(3):
            low = high = at[d, b * BOX]
            for j in range(b * BOX + 1, min(n, b * BOX + BOX)):
                low, high = min(low, at[d, j]), max(high, at[d, j])
            corner[d, b], corner[3 + d, b] = low, high
        low = FAR
        for j in range(b * BOX, b * BOX + BOX):
            low = min(low, price[j])
        least[b] = low


@kernel(forceinline=True, **OPTIONS)
def raise_price(j, new, price, least):
    """Sets the price of object j to `new`, which is not less than the old one, and its box's least price."""
    b = j // BOX
    old = price[j]
    price[j] = new
    if old <= least[b]:
        low = price[b * BOX]
        for t in range(b * BOX + 1, b * BOX + BOX):
            low = min(low, price[t])
        least[b] = low


# The kernels below take plain arrays: a named tuple costs two reference counts a member a call, which would be a third
# of the time of a list. Loops that call them unpack once.


@kernel(forceinline=True, **OPTIONS)
def candidates(x0, x1, x2, reach, boxes, at, price, corner, least, box, test, near):
    """Writes to near all objects with distance + price < reach; returns how many they are. Others: see `Objects`.

    Arithmetic and compaction are separate loops: the first then vectorises, the second has no branch to mispredict.
    """
    for b in range(boxes):
        e0 = max(max(corner[0, b] - x0, x0 - corner[3, b]), 0.0)
        e1 = max(max(corner[1, b] - x1, x1 - corner[4, b]), 0.0)
        e2 = max(max(corner[2, b] - x2, x2 - corner[5, b]), 0.0)
        left = max(reach - least[b], 0.0)
        test[b] = e0 * e0 + e1 * e1 + e2 * e2 - left * left
    kept = 0
    for b in range(boxes):
        box[kept] = b
        kept += test[b] < 0.0
    for q in range(kept):
        start = np.int64(box[q]) * BOX
        for t in range(BOX):
            e0, e1, e2 = at[0, start + t] - x0, at[1, start + t] - x1, at[2, start + t] - x2
            left = max(reach - price[start + t], 0.0)
            test[q * BOX + t] = e0 * e0 + e1 * e1 + e2 * e2 - left * left
    count = 0
    for q in range(kept):
        start = np.int64(box[q]) * BOX
        for t in range(BOX):
            near[count] = start + t
            count += test[q * BOX + t] < 0.0
    return count


@kernel(forceinline=True, **OPTIONS)
def evaluate(x0, x1, x2, count, at, price, near, cost, value):
    """Writes distance and value of the first `count` candidates to cost and value."""
    for t in range(count):
        j = near[t]
        e0, e1, e2 = at[0, j] - x0, at[1, j] - x1, at[2, j] - x2
        cost[t] = np.sqrt(e0 * e0 + e1 * e1 + e2 * e2)
        value[t] = cost[t] + price[j]


@kernel(**OPTIONS)
def select(count, wanted, near, cost, value):
    """Moves the `wanted` candidates of least value to the front; returns the greatest value among them."""
    first, last = 0, count - 1
    while first < last:
        pivot = value[(first + last) >> 1]
        i, j = first, last
        while i <= j:
            while value[i] < pivot:
                i += 1
            while value[j] > pivot:
                j -= 1
            if i <= j:
                value[i], value[j] = value[j], value[i]
                cost[i], cost[j] = cost[j], cost[i]
                near[i], near[j] = near[j], near[i]
                i += 1
                j -= 1
        if wanted - 1 <= j:
            last = j
        elif wanted - 1 >= i:
            first = i
        else:
            break
    greatest = value[0]
    for t in range(1, wanted):
        greatest = max(greatest, value[t])
    return greatest


@kernel(forceinline=True, **OPTIONS)
def sort_list(count, near, cost, value, rank, list_object, list_cost, list_value):
    """Writes the candidates in ascending order of value to the list (ROOM,).

    The rank of a candidate is the number of those that come before it: n^2 comparisons, but no branch to mispredict.
    """
    whole = (count + 7) // 8 * 8  # whole vectors
    for t in range(count, whole):
        value[t] = FAR
    for t in range(whole):
        rank[t] = 0
    for s in range(count):
        v = value[s]
        for t in range(whole):
            rank[t] += (v < value[t]) | ((v == value[t]) & (s < t))
    for t in range(count):
        r = rank[t]
        list_object[r], list_cost[r], list_value[r] = near[t], cost[t], value[t]


@kernel(**OPTIONS)
def build_list(
    i, start, fewest, wanted, boxes, rows, at, price, corner, least,
    list_object, list_cost, list_value, list_length, bound, widths, box, test, near, cost, value, rank,
):  # fmt: skip
    """List i anew with at least `fewest` objects, if it can about `wanted`. start: an upper bound of the least value.

    rows: (n, 3); then the members of `Objects`, `Lists` and `Scratch`. Returns the work done, 1 for an ordinary list.
    """
    x0, x1, x2 = rows[i, 0], rows[i, 1], rows[i, 2]
    width = widths[i]
    growth = 0.5 * width + 1e-15 * start + 1e-15
    while True:
        reach = start + width
        count = candidates(x0, x1, x2, reach, boxes, at, price, corner, least, box, test, near)
        if count >= fewest:
            break
        width += growth
        growth *= 2.0
    evaluate(x0, x1, x2, count, at, price, near, cost, value)
    work = 1 + (count >> 6)
    if count > ROOM:
        reach = min(reach, select(count, wanted, near, cost, value))
        width = max(reach - start, 0.25 * width)
        count = wanted
    elif count < wanted:
        width *= 1.2
    sort_list(count, near, cost, value, rank, list_object[i], list_cost[i], list_value[i])
    list_length[i], bound[i], widths[i] = count, reach, width
    return work


@kernel(**OPTIONS)
def keep_list(i, count, reach, wanted, lists, scratch):
    """Makes the evaluated candidates in scratch list i: all objects of value < reach; too many: the `wanted` best."""
    _, _, near, cost, value, rank = scratch
    if count > ROOM:
        reach = min(reach, select(count, wanted, near, cost, value))
        count = wanted
    sort_list(count, near, cost, value, rank, lists.object[i], lists.cost[i], lists.value[i])
    lists.length[i], lists.bound[i] = count, reach


@kernel(**OPTIONS)
def cheapest(
    i, fewest, wanted, boxes, rows, at, price, corner, least,
    list_object, list_cost, list_value, list_length, bound, widths, box, test, near, cost, value, rank,
):  # fmt: skip
    """The least value of row i over all objects; list i is built anew where it cannot tell. Returns (value, work).

    Arguments as of `build_list`.
    """
    work = 0
    while True:
        best = FAR
        for t in range(list_length[i]):
            if list_value[i, t] >= best:
                break
            best = min(best, list_cost[i, t] + price[list_object[i, t]])
        if best <= bound[i]:
            return best, work
        work += build_list(
            i, best, fewest, wanted, boxes, rows, at, price, corner, least,
            list_object, list_cost, list_value, list_length, bound, widths, box, test, near, cost, value, rank,
        )  # fmt: skip


@kernel(**OPTIONS)
def first_lists(n, rows, objects, lists, scratch):
    """All lists at today's prices; returns the mean gap between neighbouring values in a list, and the work done."""
    at, price, corner, least = objects
    list_object, list_cost, list_value, list_length, bound, widths = lists
    box, test, near, cost, value, rank = scratch
    boxes, fewest, wanted = (n + BOX - 1) // BOX, min(n, FEWEST), min(n, WANTED)
    j, reach, gap, work = 0, 0.0, 0.0, 0
    for i in range(n):
        e0, e1, e2 = at[0, j] - rows[i, 0], at[1, j] - rows[i, 1], at[2, j] - rows[i, 2]
        start = np.sqrt(e0 * e0 + e1 * e1 + e2 * e2) + price[j]
        # the row before is a neighbour: its best object and its reach are good guesses
        widths[i] = max(reach - start, 0.3 * widths[i - 1]) if i > 0 else 0.25 / (1.0 + n**0.3333)
        work += build_list(
            i, start, fewest, wanted, boxes, rows, at, price, corner, least,
            list_object, list_cost, list_value, list_length, bound, widths, box, test, near, cost, value, rank,
        )  # fmt: skip
        lowest, j = list_value[i, 0], list_object[i, 0]
        widths[i] = max(bound[i] - lowest, 1e-15)
        gap += widths[i] / list_length[i]
        reach = bound[i] if list_length[i] >= wanted else lowest + 1.2 * widths[i]
    return gap / n, work
