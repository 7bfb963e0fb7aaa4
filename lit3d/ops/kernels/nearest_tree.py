"""Nearest neighbours for large sets: both sides along a space-filling curve, so that a tile of queries meets few boxes.

Points that are next to each other along the Morton curve lie close together in space (Morton 1966). Every BOX of them
have a bounding box, every FAN boxes of one level a box of the next: a tree without pointers. A tile of queries goes
through that tree, nearest box first; the farthest distance found so far is a reach beyond which no box matters. In the
last boxes the arithmetic is that of `nearest_tiles`, over the queries of a tile, so it vectorises.
"""

from typing import NamedTuple

import numpy as np

from lit3d.ops.kernels.jit import kernel

TILE = 64  # queries that search together
BOX = 16  # points to a box
FAN = 16  # boxes to a box of the next level
MARGIN = 1e-6  # a lower bound is trusted up to this share: the compiler may round it and a distance differently
BITS = 21  # of each coordinate in a key


class Ordered(NamedTuple):
    """A point set along the curve."""

    at: np.ndarray  # (n, 3)
    order: np.ndarray  # (n,) int64: index in the user's order
    boxes: np.ndarray  # (levels together, 6): least x, y, z, greatest x, y, z; level by level, points' boxes first
    first: np.ndarray  # (levels + 1,) int64: where each level begins in `boxes`


def ordered(points: np.ndarray) -> Ordered:
    """Order and boxes of points (n, 3)."""
    keys = np.empty(len(points), np.int64)
    curve_keys(points, keys)
    order = np.argsort(keys)
    counts = [-(-len(points) // BOX)]
    while counts[-1] > 1:
        counts.append(-(-counts[-1] // FAN))
    first = np.cumsum([0, *counts])
    at, boxes = np.empty_like(points), np.empty((first[-1], 6), points.dtype)
    enclose(points, order, first, at, boxes)
    return Ordered(at, order, boxes, first)


@kernel(inline="always")
def spread(v):
    """Two zero bits between any two of the lowest 21 bits."""
    v = (v | v << 32) & 0x1F00000000FFFF
    v = (v | v << 16) & 0x1F0000FF0000FF
    v = (v | v << 8) & 0x100F00F00F00F00F
    v = (v | v << 4) & 0x10C30C30C30C30C3
    return (v | v << 2) & 0x1249249249249249


@kernel()
def curve_keys(points, keys):
    """Place of each point along the Morton curve through the cube around all of them."""
    n, low, extent = points.shape[0], np.empty(3), 0.0
    for d in range(3):
        least = greatest = points[0, d]
        for i in range(n):
            least, greatest = min(least, points[i, d]), max(greatest, points[i, d])
        low[d] = least
        extent = max(extent, greatest - least)
    scale = (2**BITS - 1) / extent if extent > 1e-300 else 0.0
    for i in range(n):
        key = np.int64(0)
        for d in range(3):
            key |= spread(np.int64((points[i, d] - low[d]) * scale)) << d
        keys[i] = key


@kernel()
def enclose(points, order, first, at, boxes):
    """Fills `at` and `boxes` of an `Ordered`."""
    n = points.shape[0]
    boxes[:, :3], boxes[:, 3:] = np.inf, -np.inf
    for t in range(n):
        b = t // BOX
        for d in range(3):
            v = points[order[t], d]
            at[t, d] = v
            boxes[b, d], boxes[b, 3 + d] = min(boxes[b, d], v), max(boxes[b, 3 + d], v)
    for level in range(1, first.shape[0] - 1):
        for c in range(first[level - 1], first[level]):
            b = first[level] + (c - first[level - 1]) // FAN
            for d in range(3):
                boxes[b, d] = min(boxes[b, d], boxes[c, d])
                boxes[b, 3 + d] = max(boxes[b, 3 + d], boxes[c, 3 + d])


@kernel(inline="always")
def visit(begin, end, qx, qy, qz, y_at, y_order, best, which):
    """Compares a tile with the points begin .. end; ties go to the smallest index, in whatever order they are met."""
    for j in range(begin, end):
        px, py, pz, name = y_at[j, 0], y_at[j, 1], y_at[j, 2], np.int32(y_order[j])
        for q in range(TILE):
            dx, dy, dz = qx[q] - px, qy[q] - py, qz[q] - pz
            distance = dx * dx + dy * dy + dz * dz
            closer = (distance < best[q]) | ((distance == best[q]) & (name < which[q]))
            best[q] = distance if closer else best[q]
            which[q] = name if closer else which[q]


@kernel(inline="always")
def wanted(box, qx, qy, qz, best, keep):
    """How many queries of a tile may have their nearest point in a box (6,)."""
    b0, b1, b2, b3, b4, b5 = box[0], box[1], box[2], box[3], box[4], box[5]
    zero, count = best[0] * 0, 0
    for q in range(TILE):
        e0 = max(max(b0 - qx[q], qx[q] - b3), zero)
        e1 = max(max(b1 - qy[q], qy[q] - b4), zero)
        e2 = max(max(b2 - qz[q], qz[q] - b5), zero)
        count += (e0 * e0 + e1 * e1 + e2 * e2) * keep <= best[q]
    return count


@kernel(fastmath={"contract"})
def search(begin, end, x_at, x_order, y_at, y_order, boxes, first, squared, index):
    """Nearest points for rows begin .. end of an ordered x; writes squared (n,), index (n,) in the user's order.

    Boxes that wait on the stack are sorted so that the nearest of the last node's children is taken next.
    """
    m, top = y_at.shape[0], first.shape[0] - 2
    zero = x_at[0, 0] * 0
    keep = zero + np.float32(1 - MARGIN)
    qx, qy, qz = np.empty(TILE, x_at.dtype), np.empty(TILE, x_at.dtype), np.empty(TILE, x_at.dtype)
    best, which = np.empty(TILE, x_at.dtype), np.empty(TILE, np.int32)
    low, high = np.empty(3, x_at.dtype), np.empty(3, x_at.dtype)
    node, bound = np.empty(FAN * (top + 2), np.int64), np.empty(FAN * (top + 2), x_at.dtype)
    level = np.empty(FAN * (top + 2), np.int64)
    for start in range(begin, end, TILE):
        low[:], high[:] = np.inf, -np.inf
        for q in range(TILE):
            i = min(start + q, end - 1)
            qx[q], qy[q], qz[q] = x_at[i, 0], x_at[i, 1], x_at[i, 2]
            best[q], which[q] = np.inf, 0
            for d in range(3):
                low[d], high[d] = min(low[d], x_at[i, d]), max(high[d], x_at[i, d])
        l0, l1, l2, h0, h1, h2 = low[0], low[1], low[2], high[0], high[1], high[2]
        reach, depth = best[0], 1
        node[0], bound[0], level[0] = first[top], zero, top
        while depth > 0:
            depth -= 1
            box, rank = node[depth], level[depth]
            if bound[depth] > reach:
                continue
            if rank == 0:
                if wanted(boxes[box], qx, qy, qz, best, keep) > 0:
                    visit(box * BOX, min(box * BOX + BOX, m), qx, qy, qz, y_at, y_order, best, which)
                    reach = best.max()
                continue
            child, base = first[rank - 1] + (box - first[rank]) * FAN, depth
            for c in range(child, min(child + FAN, first[rank])):
                e0 = max(max(boxes[c, 0] - h0, l0 - boxes[c, 3]), zero)
                e1 = max(max(boxes[c, 1] - h1, l1 - boxes[c, 4]), zero)
                e2 = max(max(boxes[c, 2] - h2, l2 - boxes[c, 5]), zero)
                away = (e0 * e0 + e1 * e1 + e2 * e2) * keep
                if away <= reach:
                    t = depth
                    while t > base and bound[t - 1] < away:
                        node[t], bound[t], level[t] = node[t - 1], bound[t - 1], level[t - 1]
                        t -= 1
                    node[t], bound[t], level[t] = c, away, rank - 1
                    depth += 1
        for q in range(min(TILE, end - start)):
            squared[x_order[start + q]] = best[q]
            index[x_order[start + q]] = which[q]
