"""Which triangles of a mesh meet another that they share no vertex with."""

import numpy as np

from lit3d.ops.kernels.jit import kernel

EPSILON = 1e-14  # relative error of a determinant in float64: a smaller one is taken for zero


@kernel()
def side(a, b, c, p):
    """On which side of the plane through a, b, c the point p lies: 1, -1, or 0 on it."""
    u0, u1, u2 = a[0] - p[0], a[1] - p[1], a[2] - p[2]
    v0, v1, v2 = b[0] - p[0], b[1] - p[1], b[2] - p[2]
    w0, w1, w2 = c[0] - p[0], c[1] - p[1], c[2] - p[2]
    x, y, z = v1 * w2, v2 * w0, v0 * w1
    i, j, k = v2 * w1, v0 * w2, v1 * w0
    value = u0 * (x - i) + u1 * (y - j) + u2 * (z - k)
    bound = EPSILON * (abs(u0) * (abs(x) + abs(i)) + abs(u1) * (abs(y) + abs(j)) + abs(u2) * (abs(z) + abs(k)))
    return 0 if abs(value) <= bound else (1 if value > 0.0 else -1)


@kernel()
def turn(a, b, c, i, j):
    """Whether a, b, c turn left (1) or right (-1) or lie on a line (0), in the coordinates i and j."""
    left, right = (b[i] - a[i]) * (c[j] - a[j]), (b[j] - a[j]) * (c[i] - a[i])
    value = left - right
    return 0 if abs(value) <= EPSILON * (abs(left) + abs(right)) else (1 if value > 0.0 else -1)


@kernel()
def between(a, b, p, i, j):
    """Whether p, on the line through a and b, lies between them."""
    return (min(a[i], b[i]) <= p[i] <= max(a[i], b[i])) and (min(a[j], b[j]) <= p[j] <= max(a[j], b[j]))


@kernel()
def cross(p, q, a, b, i, j):
    """Whether the segments pq and ab of a plane share a point."""
    s, t = turn(p, q, a, i, j), turn(p, q, b, i, j)
    u, v = turn(a, b, p, i, j), turn(a, b, q, i, j)
    if s != t and u != v:
        return True
    return (
        (s == 0 and between(p, q, a, i, j)) or (t == 0 and between(p, q, b, i, j))
        or (u == 0 and between(a, b, p, i, j)) or (v == 0 and between(a, b, q, i, j))
    )  # fmt: skip


@kernel()
def in_plane(p, q, a, b, c, drop):
    """Whether the segment pq meets the triangle abc of the same plane, seen along the axis `drop`."""
    i, j = (drop + 1) % 3, (drop + 2) % 3
    s, t, u = turn(a, b, p, i, j), turn(b, c, p, i, j), turn(c, a, p, i, j)
    if (s >= 0 and t >= 0 and u >= 0) or (s <= 0 and t <= 0 and u <= 0):
        return True
    return cross(p, q, a, b, i, j) or cross(p, q, b, c, i, j) or cross(p, q, c, a, i, j)


@kernel()
def segment_meets(p, q, a, b, c):
    """Whether the segment pq and the triangle abc share a point; never for a triangle without area."""
    n0 = abs((b[1] - a[1]) * (c[2] - a[2]) - (b[2] - a[2]) * (c[1] - a[1]))
    n1 = abs((b[2] - a[2]) * (c[0] - a[0]) - (b[0] - a[0]) * (c[2] - a[2]))
    n2 = abs((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]))
    if n0 + n1 + n2 == 0.0:
        return False
    above, below = side(a, b, c, p), side(a, b, c, q)
    if above * below > 0:
        return False
    if above == 0 and below == 0:
        return in_plane(p, q, a, b, c, 0 if n0 >= n1 and n0 >= n2 else (1 if n1 >= n2 else 2))
    s, t, u = side(p, q, a, b), side(p, q, b, c), side(p, q, c, a)
    return (s >= 0 and t >= 0 and u >= 0) or (s <= 0 and t <= 0 and u <= 0)


@kernel()
def triangles_meet(x, y):
    """Whether two triangles (3, 3) share a point: an edge of one meets the other. One without area is its edges."""
    for k in range(3):
        m = (k + 1) % 3
        if segment_meets(x[k], x[m], y[0], y[1], y[2]) or segment_meets(y[k], y[m], x[0], x[1], x[2]):
            return True
    return False


@kernel()
def sweep(corners, faces, low, high, order, hit):
    """Marks in hit (f,) each triangle that meets one with which it shares no vertex.

    corners (f, 3, 3); low, high (f, 3): boxes; order (f,): by low along axis 0, along which the plane sweeps.
    """
    count = len(order)
    for s in range(count):
        f = order[s]
        for t in range(s + 1, count):
            g = order[t]
            if low[g, 0] > high[f, 0]:
                break
            if hit[f] and hit[g]:
                continue
            if low[g, 1] > high[f, 1] or high[g, 1] < low[f, 1] or low[g, 2] > high[f, 2] or high[g, 2] < low[f, 2]:
                continue
            shared = False
            for k in range(3):
                v = faces[f, k]
                shared = shared or v == faces[g, 0] or v == faces[g, 1] or v == faces[g, 2]
            if not shared and triangles_meet(corners[f], corners[g]):
                hit[f] = hit[g] = True


def self_intersecting(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Marks (f,) the faces that share a point with a face that has none of their vertices.

    Determinants are float64 with an error bound: what is within it counts as touching. Broad phase: boxes along the
    longest side of the mesh.

    Args:
        vertices: (v, 3), finite.
        faces: (f, 3).
    """
    at = np.asarray(vertices, np.float64)
    at = np.ascontiguousarray(at[:, np.argsort(-np.ptp(at, axis=0), kind="stable")])
    corners = at[faces]
    low, high = corners.min(1), corners.max(1)
    hit = np.zeros(len(faces), np.bool_)
    sweep(corners, np.ascontiguousarray(faces, np.int64), low, high, np.argsort(low[:, 0], kind="stable"), hit)
    return hit
