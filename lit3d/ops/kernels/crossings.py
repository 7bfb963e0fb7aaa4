"""How often a vertical line through each query crosses a triangle mesh, above and below the query.

The mesh is projected to the plane of its first and last axis. A directed edge counts +1 or -1 where a half-open ray in
that plane crosses it; the sum over the three edges of a triangle, -1, 0 or 1, says whether the line crosses the
triangle and from which side. Both triangles at an edge evaluate it from the same end with the same operations, so their
shares cancel bit for bit: a line never slips between two triangles, and for closed meshes the signed count is the
winding number (Shimrat 1962 for the half-open rule; Jacobson et al. 2013 for counts as winding numbers).
"""

from typing import NamedTuple

import numpy as np

from lit3d.ops.kernels.jit import kernel


class Columns(NamedTuple):
    """A mesh sorted into columns of a grid over the plane."""

    corner: np.ndarray  # (f, 3) float64: last coordinate of the corners, which decides about the half-open rule
    line: np.ndarray  # (f, 3, 2) float64: first coordinate along each edge = line[0] + line[1] * last coordinate
    plane: np.ndarray  # (f, 5) float64: height = plane[0] + plane[1] * first + plane[2] * last, within plane[3:5]
    start: np.ndarray  # (g * g + 1,) int64: where the triangles of each cell begin
    member: np.ndarray  # the triangles, cell by cell
    box: np.ndarray  # (4,) least first, least last, cells a unit of both; empty cells outside
    cells: int


@kernel(error_model="numpy")
def columns(vertices, faces, cells):
    """`Columns` of vertices (v, 3) float64 and faces (f, 3) int64."""
    count = faces.shape[0]
    corner, line, plane = np.empty((count, 3)), np.empty((count, 3, 2)), np.empty((count, 5))
    low, high = np.full(2, np.inf), np.full(2, -np.inf)
    for t in range(count):
        for k in range(3):
            for d in range(2):
                low[d] = min(low[d], vertices[faces[t, k], 2 * d])
                high[d] = max(high[d], vertices[faces[t, k], 2 * d])
    box = np.array([low[0], low[1], cells / max(high[0] - low[0], 1e-300), cells / max(high[1] - low[1], 1e-300)])
    span = np.empty((count, 4), np.int64)
    start = np.zeros(cells * cells + 1, np.int64)
    for t in range(count):
        a, b, c = vertices[faces[t, 0]], vertices[faces[t, 1]], vertices[faces[t, 2]]
        for k in range(3):
            corner[t, k] = vertices[faces[t, k], 2]
            i, j = faces[t, k], faces[t, (k + 1) % 3]
            first, last = vertices[min(i, j)], vertices[max(i, j)]
            rise = last[2] - first[2]
            slope = (last[0] - first[0]) / rise if rise != 0 else 0.0  # level edges are never crossed
            line[t, k, 0], line[t, k, 1] = first[0] - slope * first[2], slope
        n0 = (b[1] - a[1]) * (c[2] - a[2]) - (b[2] - a[2]) * (c[1] - a[1])
        n1 = (b[2] - a[2]) * (c[0] - a[0]) - (b[0] - a[0]) * (c[2] - a[2])
        n2 = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
        u, v = (-n0 / n1, -n2 / n1) if n1 != 0 else (0.0, 0.0)
        plane[t, 0], plane[t, 1], plane[t, 2] = a[1] - u * a[0] - v * a[2], u, v
        plane[t, 3], plane[t, 4] = min(a[1], min(b[1], c[1])), max(a[1], max(b[1], c[1]))
        for d in range(2):
            least, most = min(a[2 * d], min(b[2 * d], c[2 * d])), max(a[2 * d], max(b[2 * d], c[2 * d]))
            # One cell more on both sides of a border: the lines above round where the cells do not.
            span[t, d] = max(0, int((least - box[d]) * box[2 + d] - 1e-6))
            span[t, 2 + d] = min(cells - 1, int((most - box[d]) * box[2 + d] + 1e-6))
        for i in range(span[t, 0], span[t, 2] + 1):
            for j in range(span[t, 1], span[t, 3] + 1):
                start[i * cells + j + 1] += 1
    for i in range(cells * cells):
        start[i + 1] += start[i]
    cursor, member = start[:-1].copy(), np.empty(start[-1], np.int64)
    for t in range(count):
        for i in range(span[t, 0], span[t, 2] + 1):
            for j in range(span[t, 1], span[t, 3] + 1):
                member[cursor[i * cells + j]] = t
                cursor[i * cells + j] += 1
    return Columns(corner, line, plane, start, member, box, cells)


@kernel(error_model="numpy")
def crossings(grid, queries, signed, above, below):
    """Fill `signed` (q,), `above` (q,), `below` (q,) int32 for queries (q, 3).

    `signed` adds up crossings above: +1 where the line leaves through a face that looks upwards, -1 where through one
    that looks downwards. `above` and `below` count without a sign.
    """
    for q in range(queries.shape[0]):
        x, y, z = np.float64(queries[q, 0]), np.float64(queries[q, 1]), np.float64(queries[q, 2])
        total, over, under = 0, 0, 0
        u, v = (x - grid.box[0]) * grid.box[2], (z - grid.box[1]) * grid.box[3]
        if u >= -1e-6 and v >= -1e-6 and u <= grid.cells + 1e-6 and v <= grid.cells + 1e-6:
            i, j = min(max(int(u), 0), grid.cells - 1), min(max(int(v), 0), grid.cells - 1)
            cell = i * grid.cells + j
            for m in range(grid.start[cell], grid.start[cell + 1]):
                t = grid.member[m]
                w = 0
                before = grid.corner[t, 2] <= z
                for k in range(3):  # edge k - 1 ends at corner k
                    after = grid.corner[t, k] <= z
                    if before != after and grid.line[t, (k + 2) % 3, 0] + grid.line[t, (k + 2) % 3, 1] * z > x:
                        w += 1 if after else -1
                    before = after
                if w == 0:
                    continue
                height = grid.plane[t, 0] + grid.plane[t, 1] * x + grid.plane[t, 2] * z
                height = min(max(height, grid.plane[t, 3]), grid.plane[t, 4])
                if height > y:
                    total += w
                    over += 1
                else:
                    under += 1
        signed[q], above[q], below[q] = total, over, under
