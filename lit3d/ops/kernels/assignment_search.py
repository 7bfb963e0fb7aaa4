"""Prices by auction, then exactness by shortest augmenting paths; both over candidate lists (`assignment_lists`).

From good prices most rows sit on an object of least value already; each row that does not gets one by a Dijkstra
search in reduced costs |x_i - y_j| + price_j - u_i (Jonker & Volgenant 1987), which keeps

    INVARIANT  u_i <= |x_i - y_j| + price_j for all i, j, with equality for matched pairs; prices only rise.

So when no row is free, the prices prove the matching optimal. A search looks at list i when it reaches row i; the
objects outside the list are one more node of the heap, at the distance that they have at least. Only when that node
is the nearest thing left are they looked at, ball by ball: no edge that could matter is left out.
"""

from typing import NamedTuple

import numpy as np

from lit3d.ops.kernels.assignment_lists import (
    BOX,
    FAR,
    FEWEST,
    OPTIONS,
    WANTED,
    build_list,
    candidates,
    cheapest,
    evaluate,
    keep_list,
    raise_price,
)
from lit3d.ops.kernels.jit import kernel


class Search(NamedTuple):
    """State of the searches. Between searches: distance FAR, settled 0, place -1. p: n up to a whole box."""

    distance: np.ndarray  # (p,): of an object from the free row, in reduced costs
    through: np.ndarray  # (p,) int32: the row before it on the shortest path
    settled: np.ndarray  # (p,) uint8
    touched: np.ndarray  # (p,) int32: objects whose distance is set
    done: np.ndarray  # (p,) int32: objects in the order they were settled
    key: np.ndarray  # (2p,): heap; nodes are objects, and p + row for the objects outside a row's list
    node: np.ndarray  # (2p,) int32
    place: np.ndarray  # (2p,) int32: where a node stands in the heap, or -1
    dual: np.ndarray  # (p,): u, the least value of a row
    base: np.ndarray  # (p,): distance of a row minus u
    ball: np.ndarray  # (p,): all objects of less value than this have been looked at
    relisted: np.ndarray  # (p,) int32: the last search that renewed the row's list
    twin: np.ndarray  # (p,) int32: the last search that expanded a row at this position
    twin_base: np.ndarray  # (p,)


@kernel(**OPTIONS)
def auction(n, epsilon, last, rows, objects, lists, scratch, choice, partner, queue, budget):
    """Free rows bid for the object of least value until all have one, for epsilon, epsilon / 10, ..., last.

    A bid raises the price until the second best is as good, plus epsilon: at the end each row's object is within
    epsilon of its least value. The second best is bounded by the list's bound. Returns (list builds, ended).
    """
    at, price, corner, box_least = objects
    list_object, list_cost, list_value, length, bound, widths = lists
    box, test, near, costs, values, rank = scratch
    boxes, fewest, wanted, spent = (n + BOX - 1) // BOX, min(n, FEWEST), min(n, WANTED), 0
    while True:
        waiting = 0
        for i in range(n):  # what is within the new epsilon stays
            j = choice[i]
            if j >= 0:
                least, own = bound[i], FAR
                for t in range(length[i]):
                    value = list_cost[i, t] + price[list_object[i, t]]
                    if list_object[i, t] == j:
                        own = value
                    least = min(least, value)
                if own > least + epsilon:
                    partner[j] = choice[i] = -1
            if choice[i] < 0:
                queue[waiting] = i
                waiting += 1
        head, tail, bids, patience, review = 0, waiting % n, 0, 20 * n, n
        while waiting > 0:
            if bids >= review:
                review += n
                if spent + (bids >> 4) > budget:
                    return spent, False
            if bids >= patience:  # rows that fight for too few objects: larger steps
                epsilon = min(4.0 * epsilon, 2.0)
                patience += 20 * n
            i = np.int64(queue[head])
            head = head + 1 if head + 1 < n else 0
            waiting -= 1
            while True:
                least, second, j = FAR, FAR, np.int64(0)
                for t in range(length[i]):
                    if list_value[i, t] >= second:
                        break
                    k = list_object[i, t]
                    value = list_cost[i, t] + price[k]
                    if value < least:
                        second, least, j = least, value, np.int64(k)
                    elif value < second:
                        second = value
                if least <= bound[i]:
                    break
                spent += build_list(
                    i, least, fewest, wanted, boxes, rows, at, price, corner, box_least,
                    list_object, list_cost, list_value, length, bound, widths, box, test, near, costs, values, rank,
                )  # fmt: skip
            raise_price(j, price[j] + (min(second, bound[i]) - least) + epsilon, price, box_least)
            bids += 1
            loser = partner[j]
            partner[j], choice[i] = i, j
            if loser >= 0:
                choice[loser], queue[tail] = -1, loser
                tail = tail + 1 if tail + 1 < n else 0
                waiting += 1
        spent += bids >> 4
        if spent > budget:
            return spent, False
        if epsilon <= last:
            return spent, True
        epsilon = max(epsilon / 10.0, last)


@kernel(**OPTIONS)
def lower(node, key, size, search):
    """Puts a node into the heap, or moves it up to its smaller key; returns the heap's size."""
    keys, nodes, place = search.key, search.node, search.place
    i = place[node]
    if i < 0:
        i = size
        size += 1
    while i > 0:
        parent = (i - 1) >> 1
        if keys[parent] <= key:
            break
        keys[i], nodes[i] = keys[parent], nodes[parent]
        place[nodes[i]] = i
        i = parent
    keys[i], nodes[i], place[node] = key, node, i
    return size


@kernel(**OPTIONS)
def drop_first(size, search):
    """Removes the node of least key; returns the heap's size."""
    keys, nodes, place = search.key, search.node, search.place
    place[nodes[0]] = -1
    size -= 1
    if size == 0:
        return size
    key, node, i = keys[size], nodes[size], 0
    while True:
        child = 2 * i + 1
        if child >= size:
            break
        if child + 1 < size and keys[child + 1] < keys[child]:
            child += 1
        if keys[child] >= key:
            break
        keys[i], nodes[i] = keys[child], nodes[child]
        place[nodes[i]] = i
        i = child
    keys[i], nodes[i], place[node] = key, node, i
    return size


@kernel(**OPTIONS)
def relax(row, near, cost, count, nearest, best, end, touched, size, price, partner, search):
    """Offers row's way to `count` objects. nearest: no distance can be less. Returns (best, end, touched, size).

    best: distance of the nearest free object so far, `end`; whatever is not nearer is of no interest.
    """
    base = search.base[row]
    for t in range(count):
        j = np.int64(near[t])
        d = base + cost[t] + price[j]
        if d < best and d < search.distance[j] and search.settled[j] == 0:
            d = max(d, nearest)
            if search.distance[j] >= FAR:
                search.touched[touched] = j
                touched += 1
            search.distance[j] = d
            search.through[j] = row
            if partner[j] < 0:
                best, end = d, j
            else:
                size = lower(j, d, size, search)
    return best, end, touched, size


@kernel(**OPTIONS)
def match_tight(n, rows, objects, lists, scratch, search, choice, partner, free):
    """Gives each row an object of least value where one is left, the row's own `choice` (n,) first.

    Writes choice and partner anew (-1: none), u to search.dual and the free rows to `free`. Returns (free, builds).
    """
    at, price, corner, box_least = objects
    list_object, list_cost, list_value, list_length, bound, widths = lists
    box, test, near, costs, values, rank = scratch
    boxes, fewest, wanted = (n + BOX - 1) // BOX, min(n, FEWEST), min(n, WANTED)
    for j in range(boxes * BOX):
        partner[j] = -1
    missing, spent = 0, 0
    for i in range(n):
        least, builds = cheapest(
            i, fewest, wanted, boxes, rows, at, price, corner, box_least,
            list_object, list_cost, list_value, list_length, bound, widths, box, test, near, costs, values, rank,
        )  # fmt: skip
        spent += builds
        search.dual[i] = least
        wish, got = choice[i], -1
        for t in range(list_length[i]):
            if list_value[i, t] > least:
                break
            j = np.int64(list_object[i, t])
            if list_cost[i, t] + price[j] <= least and partner[j] < 0 and (got < 0 or j == wish):
                got = j
        choice[i] = got
        if got >= 0:
            partner[got] = i
        else:
            free[missing] = i
            missing += 1
    return missing, spent


@kernel(**OPTIONS)
def finish(n, rows, objects, lists, scratch, search, choice, partner, free, kinds, budget):
    """Completes the matching; choice (n,) in: a guess, or -1; out: the optimal object of each row.

    kinds (n,): rows at the same position share a number; of those only the first expands in a search, for the others
    can offer nothing shorter. budget: work allowed, in list builds. Returns whether the matching is complete.
    """
    at, price, corner, box_least = objects
    list_object, list_cost, list_value, list_length, bound, widths = lists
    box, test, near, costs, values, rank = scratch
    boxes, fewest, wanted = (n + BOX - 1) // BOX, min(n, FEWEST), min(n, WANTED)
    pad, dual, distance = boxes * BOX, search.dual, search.distance
    for i in range(pad):
        distance[i], search.settled[i] = FAR, 0
        search.relisted[i] = search.twin[i] = search.place[i] = search.place[pad + i] = -1
    missing, spent = match_tight(n, rows, objects, lists, scratch, search, choice, partner, free)
    for f in range(missing):
        if spent > budget:
            return False
        source = np.int64(free[f])
        dual[source], builds = cheapest(
            source, fewest, wanted, boxes, rows, at, price, corner, box_least,
            list_object, list_cost, list_value, list_length, bound, widths, box, test, near, costs, values, rank,
        )  # fmt: skip
        if builds > 0:
            search.relisted[source] = f
        spent += builds
        size, touched, settled, best, end = 0, 0, 0, FAR, -1
        i, d, expanded = source, 0.0, 0
        while True:
            base = d - dual[i]
            kind = kinds[i]
            if search.twin[kind] != f or search.twin_base[kind] > base + 1e-15:
                search.twin[kind], search.twin_base[kind] = f, base
                search.base[i], search.ball[i] = base, max(bound[i], dual[i])
                expanded += 1
                best, end, touched, size = relax(
                    i, list_object[i], list_cost[i], list_length[i], d, best, end, touched, size, price, partner, search
                )
                if base + search.ball[i] < best:
                    size = lower(pad + i, max(base + search.ball[i], d), size, search)
            reached = -1
            while size > 0 and search.key[0] < best:
                d, node = search.key[0], np.int64(search.node[0])
                size = drop_first(size, search)
                if node < pad:
                    reached = node
                    break
                row = node - pad
                ball = search.ball[row]
                reach = ball + max(max(ball - dual[row], widths[row]), 1e-14)
                last = reach >= best - search.base[row]
                if last:
                    reach = best - search.base[row]
                x0, x1, x2 = rows[row, 0], rows[row, 1], rows[row, 2]
                count = candidates(x0, x1, x2, reach, boxes, at, price, corner, box_least, box, test, near)
                evaluate(x0, x1, x2, count, at, price, near, costs, values)
                spent += 1 + (count >> 6)
                best, end, touched, size = relax(
                    row, near, costs, count, d, best, end, touched, size, price, partner, search
                )
                search.ball[row] = reach
                further = max(search.base[row] + reach, d)
                if not last and further < best:
                    size = lower(node, further, size, search)
                if search.relisted[row] != f and count > 0:
                    search.relisted[row] = f
                    keep_list(row, count, reach, wanted, lists, scratch)
            if reached < 0:
                break
            search.settled[reached] = 1
            search.done[settled] = reached
            settled += 1
            i = np.int64(partner[reached])
        for t in range(settled):
            j = np.int64(search.done[t])
            rise = best - distance[j]
            if rise > 0.0:
                raise_price(j, price[j] + rise, price, box_least)
                dual[partner[j]] += rise
        dual[source] += best
        row = -1
        while row != source:
            row = np.int64(search.through[end])
            partner[end] = row
            end, choice[row] = choice[row], end
        for t in range(touched):
            distance[search.touched[t]], search.settled[search.touched[t]] = FAR, 0
        for t in range(size):
            search.place[search.node[t]] = -1
        spent += expanded >> 2
    return True


@kernel(**OPTIONS)
def dual_value(rows, objects, price):
    """sum_i min_j (|x_i - y_j| + price_j) - sum_j price_j for (n, 3) and (n, 3): no bijection can cost less.

    All n^2 pairs, 32 rows at a time; true for any prices whatsoever, so it is a proof independent of the solver.
    """
    n, total = rows.shape[0], 0.0
    x0, x1, x2, least = np.empty(32), np.empty(32), np.empty(32), np.empty(32)
    for start in range(0, n, 32):
        for q in range(32):
            i = min(start + q, n - 1)
            x0[q], x1[q], x2[q], least[q] = rows[i, 0], rows[i, 1], rows[i, 2], np.inf
        for j in range(n):
            y0, y1, y2, p = objects[j, 0], objects[j, 1], objects[j, 2], price[j]
            for q in range(32):
                e0, e1, e2 = x0[q] - y0, x1[q] - y1, x2[q] - y2
                value = np.sqrt(e0 * e0 + e1 * e1 + e2 * e2) + p
                least[q] = value if value < least[q] else least[q]
        for q in range(min(32, n - start)):
            total += least[q] - price[start + q]
    return total


@kernel(**OPTIONS)
def matched_cost(x, y, index, squared):
    """The sum of the (squared) distances |x_i - y_index(i)|."""
    total = 0.0
    for i in range(x.shape[0]):
        j, square = index[i], 0.0
        for d in range(3):
            square += (x[i, d] - y[j, d]) ** 2
        total += square if squared else np.sqrt(square)
    return total
