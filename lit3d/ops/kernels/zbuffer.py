"""A z-buffer for triangle meshes: which triangle each pixel centre sees, then everything else from that triangle.

Rasterising stores a triangle per pixel and nothing else that is kept. Depth, barycentric weights, normals and colours
are computed afterwards from the triangle's plane at the pixel centre, so they are exact and cost nothing for hidden
triangles.

**Projected vertices** (v, 5) float64: (u z, v z, z, u, v), with u, v in pixels and z the camera depth. In the space of
q = (u z, v z, z) the ray through pixel (u, v) is the vector (u, v, 1), and for a triangle with corners q0, q1, q2 the
numbers e_i = (u, v, 1) . (q_j x q_k) / det(q0, q1, q2) are the barycentric weights over z: all three are >= 0 inside,
they sum to 1 / z, and they are linear in u and v. This is the ray-triangle test of Moeller and Trumbore (1997) in the
homogeneous form of Olano and Greer (1997): it needs no clipping, triangles that cross the camera plane included.

Float64 throughout: two triangles that share an edge get the same answer there up to 1e-12, so `EDGE` closes all cracks.
"""

from typing import NamedTuple

import numpy as np

from lit3d.ops.kernels.jit import kernel

EDGE = 1e-9  # a pixel centre this far outside an edge (barycentric) still counts: no cracks along shared edges
TIE = 1e-6  # a later triangle must be closer by this share of the depth: coincident faces do not flicker


class Adjacency(NamedTuple):
    """Faces around each vertex: those of vertex i are `faces[start[i]:start[i + 1]]`. (v + 1,) and (3 f,) int32."""

    start: np.ndarray
    faces: np.ndarray


@kernel()
def face_vectors(vertices, faces):
    """Cross products of the edges (f, 3) float32: direction = face normal, length = twice the area."""
    out = np.empty((faces.shape[0], 3), np.float32)
    for t in range(faces.shape[0]):
        a, b, c = faces[t, 0], faces[t, 1], faces[t, 2]
        x0, y0, z0 = np.float64(vertices[a, 0]), np.float64(vertices[a, 1]), np.float64(vertices[a, 2])
        x1, y1, z1 = vertices[b, 0] - x0, vertices[b, 1] - y0, vertices[b, 2] - z0
        x2, y2, z2 = vertices[c, 0] - x0, vertices[c, 1] - y0, vertices[c, 2] - z0
        out[t, 0] = y1 * z2 - z1 * y2
        out[t, 1] = z1 * x2 - x1 * z2
        out[t, 2] = x1 * y2 - y1 * x2
    return out


@kernel()
def faces_around(faces, vertex_count):
    """`Adjacency` of faces (f, 3) int32, by counting sort: faces of a vertex come in rising order."""
    start = np.zeros(vertex_count + 1, np.int32)
    for t in range(faces.shape[0]):
        for k in range(3):
            start[faces[t, k] + 1] += 1
    for i in range(vertex_count):
        start[i + 1] += start[i]
    cursor = start[:-1].copy()
    incident = np.empty(3 * faces.shape[0], np.int32)
    for t in range(faces.shape[0]):
        for k in range(3):
            vertex = faces[t, k]
            incident[cursor[vertex]] = t
            cursor[vertex] += 1
    return Adjacency(start, incident)


@kernel(error_model="numpy")
def project_vertices(vertices, matrix, scale, projected):
    """Fill `projected` (v, 5) from vertices (v, 3) and matrix (3, 4); pixels are multiplied by `scale`."""
    for i in range(vertices.shape[0]):
        x, y, z = np.float64(vertices[i, 0]), np.float64(vertices[i, 1]), np.float64(vertices[i, 2])
        u = scale * (matrix[0, 0] * x + matrix[0, 1] * y + matrix[0, 2] * z + matrix[0, 3])
        v = scale * (matrix[1, 0] * x + matrix[1, 1] * y + matrix[1, 2] * z + matrix[1, 3])
        depth = matrix[2, 0] * x + matrix[2, 1] * y + matrix[2, 2] * z + matrix[2, 3]
        projected[i, 0], projected[i, 1], projected[i, 2] = u, v, depth
        projected[i, 3], projected[i, 4] = u / depth, v / depth


@kernel(error_model="numpy")
def _box_in_front(projected, a, b, c, near):
    """Pixel box (u low, u high, v low, v high) of the part of a triangle with depth >= near; empty if there is none."""
    u0, u1, v0, v1 = np.inf, -np.inf, np.inf, -np.inf
    for first, second in ((a, b), (b, c), (c, a)):
        z1, z2 = projected[first, 2], projected[second, 2]
        if z1 >= near:
            u0, u1 = min(u0, projected[first, 3]), max(u1, projected[first, 3])
            v0, v1 = min(v0, projected[first, 4]), max(v1, projected[first, 4])
        if (z1 >= near) != (z2 >= near):  # the edge crosses the near plane: here
            share = (near - z1) / (z2 - z1)
            u = (projected[first, 0] + share * (projected[second, 0] - projected[first, 0])) / near
            v = (projected[first, 1] + share * (projected[second, 1] - projected[first, 1])) / near
            u0, u1, v0, v1 = min(u0, u), max(u1, u), min(v0, v), max(v1, v)
    return u0, u1, v0, v1


@kernel(error_model="numpy")
def _edge(projected, j, k, scale):
    """Coefficients of one weight over depth, as a function (u, v, 1): scale * (q_j x q_k)."""
    xj, yj, zj, xk, yk, zk = (
        projected[j, 0],
        projected[j, 1],
        projected[j, 2],
        projected[k, 0],
        projected[k, 1],
        projected[k, 2],
    )
    return scale * (yj * zk - zj * yk), scale * (zj * xk - xj * zk), scale * (xj * yk - yj * xk)


@kernel(error_model="numpy")
def _volume(projected, a, b, c):
    """det(q_a, q_b, q_c)."""
    x, y, z = _edge(projected, b, c, 1.0)
    return projected[a, 0] * x + projected[a, 1] * y + projected[a, 2] * z


@kernel(error_model="numpy")
def pierce(projected, a, b, c, u, v):
    """Barycentric weights of b and c, and the depth, where the ray through pixel (u, v) meets the triangle's plane."""
    a0, a1, a2 = _edge(projected, b, c, 1.0)
    b0, b1, b2 = _edge(projected, c, a, 1.0)
    c0, c1, c2 = _edge(projected, a, b, 1.0)
    volume = projected[a, 0] * a0 + projected[a, 1] * a1 + projected[a, 2] * a2
    of_b, of_c = b0 * u + b1 * v + b2, c0 * u + c1 * v + c2
    inverse = 1.0 / (a0 * u + a1 * v + a2 + of_b + of_c)
    return of_b * inverse, of_c * inverse, volume * inverse


@kernel(error_model="numpy")
def _span(span, start, value, step):
    """Narrow columns (first, last) to where value + step * (column - start) >= 0, give or take one column."""
    first, last = span
    if step > 0.0:
        if value < 0.0:
            first = max(first, start + int(min(-value / step, 1e6)))
    elif step < 0.0:
        last = min(last, start + 1 + int(max(min(-value / step, 1e6), -2.0)))
    return first, last


@kernel(error_model="numpy")
def rasterise(projected, faces, near, ids, inverse_depth):
    """Triangle at each pixel centre.

    Of coincident triangles the first in the list wins. Triangles seen exactly edge-on or without area cover nothing.

    Args:
        projected: (v, 5), see the head of this file.
        faces: (f, 3) int32.
        near: smallest depth that is seen, > 0.
        ids: (h, w) int32, overwritten: triangle, -1 = background.
        inverse_depth: (h, w) float32 scratch, overwritten: 1 / depth, 0 = background.
    """
    height, width = ids.shape
    ids[:] = -1
    inverse_depth[:] = 0.0
    for t in range(faces.shape[0]):
        a, b, c = faces[t, 0], faces[t, 1], faces[t, 2]
        za, zb, zc = projected[a, 2], projected[b, 2], projected[c, 2]
        nearest, farthest = min(za, zb, zc), max(za, zb, zc)
        if farthest < near:
            continue
        if nearest >= near:
            ua, ub, uc, va, vb, vc = (
                projected[a, 3],
                projected[b, 3],
                projected[c, 3],
                projected[a, 4],
                projected[b, 4],
                projected[c, 4],
            )
            u0, u1, v0, v1 = min(ua, ub, uc), max(ua, ub, uc), min(va, vb, vc), max(va, vb, vc)
        else:
            u0, u1, v0, v1 = _box_in_front(projected, a, b, c, near)
        # Clamp before the conversion to int: a vertex close to the camera plane may project to 1e300.
        x0, x1 = int(np.ceil(max(u0 - 0.5, 0.0))), int(np.floor(min(u1 - 0.5, width - 1.0)))
        y0, y1 = int(np.ceil(max(v0 - 0.5, 0.0))), int(np.floor(min(v1 - 0.5, height - 1.0)))
        if x0 > x1 or y0 > y1:
            continue
        volume = _volume(projected, a, b, c)
        if volume == 0.0:
            continue
        a0, a1, a2 = _edge(projected, b, c, 1.0 / volume)
        b0, b1, b2 = _edge(projected, c, a, 1.0 / volume)
        c0, c1, c2 = _edge(projected, a, b, 1.0 / volume)
        # Depth never leaves the triangle's range: an edge-on sliver, whose plane is ill-defined, stays where it is.
        lowest, highest = (1.0 - TIE) / farthest, (1.0 + TIE) / max(nearest, near)
        outside = -EDGE * highest
        wide = x1 - x0 > 5
        for y in range(y0, y1 + 1):
            u, v = x0 + 0.5, y + 0.5
            of_a, of_b, of_c = a0 * u + a1 * v + a2, b0 * u + b1 * v + b2, c0 * u + c1 * v + c2
            first, last = x0, x1
            if wide:
                first, last = _span(_span(_span((x0, x1), x0, of_a, a0), x0, of_b, b0), x0, of_c, c0)
                skipped = first - x0
                of_a, of_b, of_c = of_a + skipped * a0, of_b + skipped * b0, of_c + skipped * c0
            for x in range(first, last + 1):
                if of_a >= outside and of_b >= outside and of_c >= outside:
                    inverse = of_a + of_b + of_c
                    if inverse > inverse_depth[y, x] * (1.0 + TIE) and lowest <= inverse <= highest:
                        inverse_depth[y, x] = inverse
                        ids[y, x] = t
                of_a += a0
                of_b += b0
                of_c += c0


@kernel(error_model="numpy")
def resolve(projected, faces, vectors, rotation, ids, inverse_intrinsics, mask, depth, normal, barycentric):
    """Exact attributes at the pixel centres of a rasterised view.

    Args:
        projected: (v, 5) that `ids` was rasterised from (scale 1).
        faces: (f, 3) int32.
        vectors: (f, 3), `face_vectors`.
        rotation: (3, 3) object to camera.
        ids: (h, w) int32.
        inverse_intrinsics: (3, 3).
        mask: (h, w) bool, out.
        depth: (h, w) float32, out: camera z of the triangle's plane, 0 = background.
        normal: (h, w, 3) float32, out: the triangle's unit normal in camera axes, towards the camera, 0 = background.
        barycentric: (h, w, 3) float32, out: weights of the three corners, 0 = background.
    """
    back = inverse_intrinsics
    for y in range(ids.shape[0]):
        for x in range(ids.shape[1]):
            t = ids[y, x]
            mask[y, x] = t >= 0
            if t < 0:
                depth[y, x] = 0.0
                for i in range(3):
                    normal[y, x, i] = 0.0
                    barycentric[y, x, i] = 0.0
                continue
            u, v = x + 0.5, y + 0.5
            of_b, of_c, z = pierce(projected, faces[t, 0], faces[t, 1], faces[t, 2], u, v)
            depth[y, x] = z
            barycentric[y, x, 0], barycentric[y, x, 1], barycentric[y, x, 2] = 1.0 - of_b - of_c, of_b, of_c
            nx, ny, nz = turn(rotation, vectors[t, 0], vectors[t, 1], vectors[t, 2])
            ray = nx * (back[0, 0] * u + back[0, 1] * v + back[0, 2]) + ny * (back[1, 1] * v + back[1, 2]) + nz
            length = -np.copysign(np.sqrt(nx * nx + ny * ny + nz * nz), ray)
            normal[y, x, 0], normal[y, x, 1], normal[y, x, 2] = nx / length, ny / length, nz / length


@kernel()
def turn(matrix, x, y, z):
    """Matrix (3, 3) times (x, y, z)."""
    return (
        matrix[0, 0] * x + matrix[0, 1] * y + matrix[0, 2] * z,
        matrix[1, 0] * x + matrix[1, 1] * y + matrix[1, 2] * z,
        matrix[2, 0] * x + matrix[2, 1] * y + matrix[2, 2] * z,
    )


@kernel(error_model="numpy")
def hidden_by(vertices, vectors, vertex, t, eye, x, y, z, tolerance):
    """Is point (x, y, z) more than `tolerance` behind the plane of face t, seen from `eye`?

    The plane is met on the point's own ray, not at a pixel centre, so that no slope biases the answer.
    """
    nx, ny, nz = np.float64(vectors[t, 0]), np.float64(vectors[t, 1]), np.float64(vectors[t, 2])
    dx, dy, dz = x - eye[0], y - eye[1], z - eye[2]
    to_plane = (
        nx * (vertices[vertex, 0] - eye[0]) + ny * (vertices[vertex, 1] - eye[1]) + nz * (vertices[vertex, 2] - eye[2])
    )
    share = to_plane / (nx * dx + ny * dy + nz * dz)
    return (1.0 - share) * np.sqrt(dx * dx + dy * dy + dz * dz) > tolerance


@kernel()
def look_from_all_sides(vertices, faces, matrices, near, projected, ids, inverse_depth):
    """Rasterise from each of matrices (d, 3, 4) into ids (d, r, r); the rest is scratch, see `rasterise`."""
    for k in range(matrices.shape[0]):
        project_vertices(vertices, matrices[k], 1.0, projected)
        rasterise(projected, faces, near, ids[k], inverse_depth)


@kernel()
def _nothing_around(view, row, column):
    """Do the 3 x 3 pixels around one see only background?"""
    for y in range(row - 1, row + 2):
        for x in range(column - 1, column + 2):
            if view[y, x] >= 0:
                return False
    return True


@kernel(error_model="numpy")
def seen_sides(points, on_face, vertices, faces, vectors, matrices, eyes, ids, grazing, tolerance):
    """From which side surface points are seen by at least one of d cameras.

    The nearest pixel's triangle decides. Which pixel that is differs between cameras, so a point near an edge has a
    fair chance with each. Where that pixel and its neighbours see nothing at all, the part is thinner than a pixel,
    and counts as seen.

    Args:
        points: (n, 3).
        on_face: (n,) the face that each lies on.
        vertices: (v, 3) float32.
        faces: (f, 3) int32.
        vectors: (f, 3), `face_vectors`.
        matrices: (d, 3, 4) of the cameras.
        eyes: (d, 3) their positions.
        ids: (d, r, r) int32, what they see.
        grazing: cosine below which a camera does not judge a point: half a pixel is a long way there.
        tolerance: depth in object units.

    The points of a face vote on its side: a point within the tolerance of an edge is seen by some cameras through that
    edge. The back needs more than twice the votes, so that sheets open on both sides keep their winding.

    Returns:
        (n,) int8: 0 = hidden; 1 = seen, mostly from the side the face's normal points to; -1 = from the other side.
    """
    count, size = points.shape[0], ids.shape[1]
    seen = np.zeros(count, np.bool_)
    front, back = np.zeros(faces.shape[0], np.int32), np.zeros(faces.shape[0], np.int32)
    for k in range(matrices.shape[0]):
        m, eye, view = matrices[k], eyes[k], ids[k]
        for i in range(count):
            x, y, z, t = np.float64(points[i, 0]), np.float64(points[i, 1]), np.float64(points[i, 2]), on_face[i]
            nx, ny, nz = np.float64(vectors[t, 0]), np.float64(vectors[t, 1]), np.float64(vectors[t, 2])
            dx, dy, dz = eye[0] - x, eye[1] - y, eye[2] - z
            dot = nx * dx + ny * dy + nz * dz
            if dot * dot < grazing * grazing * (nx * nx + ny * ny + nz * nz) * (dx * dx + dy * dy + dz * dz):
                continue
            per_depth = 1.0 / (m[2, 0] * x + m[2, 1] * y + m[2, 2] * z + m[2, 3])
            u = (m[0, 0] * x + m[0, 1] * y + m[0, 2] * z + m[0, 3]) * per_depth
            v = (m[1, 0] * x + m[1, 1] * y + m[1, 2] * z + m[1, 3]) * per_depth
            column, row = min(max(int(u), 1), size - 2), min(max(int(v), 1), size - 2)
            found = view[row, column]
            if found < 0:
                if not _nothing_around(view, row, column):
                    continue
            elif found != t and hidden_by(vertices, vectors, faces[found, 0], found, eye, x, y, z, tolerance):
                continue
            seen[i] = True
            if dot > 0.0:
                front[t] += 1
            else:
                back[t] += 1
    sides = np.zeros(count, np.int8)
    for i in range(count):
        if seen[i]:
            sides[i] = -1 if back[on_face[i]] > 2 * front[on_face[i]] else 1
    return sides
