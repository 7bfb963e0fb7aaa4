"""Deferred shading: colours of the pixels of a rasterised view (see `zbuffer`).

Geometry is float64, light and colour float32 (faster, and only eight bits come out). Constants are therefore named:
a bare `0.5` would turn the arithmetic around it into float64.
"""

from typing import NamedTuple

import numpy as np

from lit3d.ops.kernels.jit import kernel
from lit3d.ops.kernels.zbuffer import hidden_by, pierce, turn

ZERO, HALF, ONE, FULL = np.float32(0.0), np.float32(0.5), np.float32(1.0), np.float32(255.0)


class Material(NamedTuple):
    """What colours a face.

    colours (f, 3) float32 in [0, 1]; texture (f,) int32, -1 = the face's colour; uv (f, 3, 2) float32, origin bottom
    left; texels (t, 3) uint8, all textures row by row; layout (k, 3) int64 = first texel, height, width.
    """

    colours: np.ndarray
    texture: np.ndarray
    uv: np.ndarray
    texels: np.ndarray
    layout: np.ndarray


class Shading(NamedTuple):
    """Lights of one view, in the object frame, linear intensities.

    eye (3,) float64; all else float32: directions (2, 3) unit vectors towards the lights; colours (2, 3); ambient
    (2, 3) from below and from above; specular.
    """

    eye: np.ndarray
    directions: np.ndarray
    colours: np.ndarray
    ambient: np.ndarray
    specular: np.float32


class Shadow(NamedTuple):
    """What light 0 sees: ids (r, r) int32 (0 by 0: no shadows), matrix (3, 4) into its pixels, its position (3,)."""

    ids: np.ndarray
    matrix: np.ndarray
    eye: np.ndarray
    tolerance: float


@kernel(error_model="numpy", fastmath=True)
def _lit(vertices, faces, vectors, ids, m, eye, tolerance, t, x, y, z):
    """Share of light 0 that reaches a point of face t: bilinear over the four nearest shadow-map pixels."""
    size = ids.shape[0]
    depth = m[2, 0] * x + m[2, 1] * y + m[2, 2] * z + m[2, 3]
    u = (m[0, 0] * x + m[0, 1] * y + m[0, 2] * z + m[0, 3]) / depth - 0.5
    v = (m[1, 0] * x + m[1, 1] * y + m[1, 2] * z + m[1, 3]) / depth - 0.5
    column, row = int(np.floor(u)), int(np.floor(v))
    lit = 0.0
    for i in range(2):
        for j in range(2):
            weight = abs(1 - i - (v - row)) * abs(1 - j - (u - column))
            occluder = ids[min(max(row + i, 0), size - 1), min(max(column + j, 0), size - 1)]
            if (
                occluder < 0
                or occluder == t
                or not hidden_by(vertices, vectors, faces[occluder, 0], occluder, eye, x, y, z, tolerance)
            ):
                lit += weight
    return lit


@kernel(error_model="numpy", fastmath=True)
def _smooth_corners(t, faces, vectors, start, around, cos_crease, out):
    """Corner normals of face t into out (f, 3, 3): area-weighted over the neighbours within the crease angle.

    Neighbours are turned to face t's own side, so that wrong winding and double-sided faces do not cancel.
    """
    x, y, z = vectors[t, 0], vectors[t, 1], vectors[t, 2]
    limit = cos_crease * cos_crease * (x * x + y * y + z * z)
    for k in range(3):
        sx, sy, sz = 0.0, 0.0, 0.0
        for i in range(start[faces[t, k]], start[faces[t, k] + 1]):
            g = around[i]
            gx, gy, gz = vectors[g, 0], vectors[g, 1], vectors[g, 2]
            dot = x * gx + y * gy + z * gz
            if g == t or dot * dot > limit * (gx * gx + gy * gy + gz * gz):
                sign = 1.0 if dot >= 0 else -1.0
                sx, sy, sz = sx + sign * gx, sy + sign * gy, sz + sign * gz
        length = np.sqrt(sx * sx + sy * sy + sz * sz)
        out[t, k, 0], out[t, k, 1], out[t, k, 2] = sx / length, sy / length, sz / length


@kernel(error_model="numpy", fastmath=True)
def _texel(texels, layout, texture, u, v):
    """Bilinear lookup, repeated beyond [0, 1]; (r, g, b) in [0, 1]."""
    first, height, width = layout[texture, 0], layout[texture, 1], layout[texture, 2]
    column, row = (u - np.floor(u)) * width - 0.5, (1.0 - (v - np.floor(v))) * height - 0.5
    x, y = int(np.floor(column)), int(np.floor(row))
    fx, fy = np.float32(column - x), np.float32(row - y)
    r, g, b = ZERO, ZERO, ZERO
    for i in range(2):
        for j in range(2):
            weight = (fy if i else ONE - fy) * (fx if j else ONE - fx) / FULL
            index = first + ((y + i) % height) * width + (x + j) % width
            r += weight * np.float32(texels[index, 0])
            g += weight * np.float32(texels[index, 1])
            b += weight * np.float32(texels[index, 2])
    return r, g, b


@kernel(error_model="numpy", fastmath=True)
def _facing(x, y, z, vectors, t, dx, dy, dz):
    """Unit vector of (x, y, z), turned over if the face's back is what the ray (dx, dy, dz) sees."""
    sign = ONE if vectors[t, 0] * dx + vectors[t, 1] * dy + vectors[t, 2] * dz <= ZERO else -ONE
    scale = sign / np.sqrt(x * x + y * y + z * z)
    return x * scale, y * scale, z * scale


@kernel(error_model="numpy", fastmath=True)
def _illuminate(nx, ny, nz, dx, dy, dz, directions, colours, ambient, specular, share_of_key):
    """Diffuse light (r, g, b) and highlight at a surface point: hemisphere, two lights, Blinn-Phong (exponent 32)."""
    up = HALF + HALF * ny
    r = ambient[0, 0] + up * (ambient[1, 0] - ambient[0, 0])
    g = ambient[0, 1] + up * (ambient[1, 1] - ambient[0, 1])
    b = ambient[0, 2] + up * (ambient[1, 2] - ambient[0, 2])
    per_length, highlight = ONE / np.sqrt(dx * dx + dy * dy + dz * dz), ZERO
    for k in range(2):
        lx, ly, lz = directions[k, 0], directions[k, 1], directions[k, 2]
        diffuse = nx * lx + ny * ly + nz * lz
        share = share_of_key if k == 0 else ONE
        if diffuse <= ZERO or share <= ZERO:
            continue
        r += share * diffuse * colours[k, 0]
        g += share * diffuse * colours[k, 1]
        b += share * diffuse * colours[k, 2]
        hx, hy, hz = lx - dx * per_length, ly - dy * per_length, lz - dz * per_length
        along = max(nx * hx + ny * hy + nz * hz, ZERO)
        power = along * along / (hx * hx + hy * hy + hz * hz)  # cos^2; squared four times: cos^32
        power *= power
        power *= power
        power *= power
        power *= power
        highlight += share * specular * power
    return r, g, b, highlight


@kernel(error_model="numpy", fastmath=True)
def shade(
    projected,
    vertices,
    faces,
    vectors,
    around,
    material,
    lights,
    shadow,
    back,
    cos_crease,
    samples,
    ids,
    corners,
    smoothed,
    rgba,
):
    """Colour each pixel from its samples x samples sub-pixels.

    Where sub-pixels in a row see one face without texture or shadows, the first gives the colour of all of them.
    Light is added up in linear space with the transfer curve taken as a square, which costs a root instead of a power.

    Args:
        projected: (v, 5) in sub-pixels, which `ids` was rasterised from.
        vertices: (v, 3) float32.
        faces: (f, 3) int32.
        vectors: (f, 3), `face_vectors`.
        around: `Adjacency`.
        material: `Material`.
        lights: `Shading`.
        shadow: `Shadow`.
        back: (3, 3) sub-pixel (u, v, 1) to the ray in object axes with camera z = 1.
        cos_crease: edges sharper than this angle stay sharp.
        samples: sub-pixels per side.
        ids: (h samples, w samples) int32.
        corners: (f, 3, 3) float32, in and out: corner normals of the faces shaded so far.
        smoothed: (f,) bool, in and out: which of them are there.
        rgba: (h, w, 4) uint8, out: straight alpha = covered share; colour = mean over the covered sub-pixels.
    """
    # Taken apart here: handing tuples of arrays on for every pixel costs more than the shading.
    start, incident = around.start, around.faces
    face_colours, texture, uv, texels, layout = (
        material.colours,
        material.texture,
        material.uv,
        material.texels,
        material.layout,
    )
    eye, directions, colours, ambient, specular = (
        lights.eye,
        lights.directions,
        lights.colours,
        lights.ambient,
        lights.specular,
    )
    seen, shadow_matrix, shadow_eye, tolerance = shadow.ids, shadow.matrix, shadow.eye, shadow.tolerance
    for row in range(rgba.shape[0]):
        for column in range(rgba.shape[1]):
            covered, red, green, blue = 0, ZERO, ZERO, ZERO
            previous, r, g, b = -1, ZERO, ZERO, ZERO
            for y in range(row * samples, (row + 1) * samples):
                for x in range(column * samples, (column + 1) * samples):
                    if ids[y, x] < 0:
                        continue
                    covered += 1
                    if ids[y, x] == previous:  # a plain face hardly changes within a pixel: shaded once
                        red, green, blue = red + r, green + g, blue + b
                        continue
                    t = np.uint32(ids[y, x])  # unsigned: spares the compiler Python's negative indices
                    if not smoothed[t]:
                        _smooth_corners(t, faces, vectors, start, incident, cos_crease, corners)
                        smoothed[t] = True
                    u, v = x + 0.5, y + 0.5
                    of_b, of_c, z = pierce(projected, faces[t, 0], faces[t, 1], faces[t, 2], u, v)
                    wa, wb, wc = np.float32(1.0 - of_b - of_c), np.float32(of_b), np.float32(of_c)
                    x_ray, y_ray, z_ray = turn(back, u, v, 1.0)
                    dx, dy, dz = np.float32(x_ray), np.float32(y_ray), np.float32(z_ray)
                    nx, ny, nz = _facing(
                        wa * corners[t, 0, 0] + wb * corners[t, 1, 0] + wc * corners[t, 2, 0],
                        wa * corners[t, 0, 1] + wb * corners[t, 1, 1] + wc * corners[t, 2, 1],
                        wa * corners[t, 0, 2] + wb * corners[t, 1, 2] + wc * corners[t, 2, 2],
                        vectors,
                        t,
                        dx,
                        dy,
                        dz,
                    )
                    share = ONE
                    if seen.shape[0] > 0:
                        share = np.float32(
                            _lit(
                                vertices,
                                faces,
                                vectors,
                                seen,
                                shadow_matrix,
                                shadow_eye,
                                tolerance,
                                t,
                                eye[0] + z * x_ray,
                                eye[1] + z * y_ray,
                                eye[2] + z * z_ray,
                            )
                        )
                    lr, lg, lb, highlight = _illuminate(
                        nx, ny, nz, dx, dy, dz, directions, colours, ambient, specular, share
                    )
                    if texture[t] >= 0:
                        r, g, b = _texel(
                            texels,
                            layout,
                            texture[t],
                            wa * uv[t, 0, 0] + wb * uv[t, 1, 0] + wc * uv[t, 2, 0],
                            wa * uv[t, 0, 1] + wb * uv[t, 1, 1] + wc * uv[t, 2, 1],
                        )
                    else:
                        r, g, b = face_colours[t, 0], face_colours[t, 1], face_colours[t, 2]
                    r = np.sqrt(min(r * r * lr + highlight, ONE))
                    g = np.sqrt(min(g * g * lg + highlight, ONE))
                    b = np.sqrt(min(b * b * lb + highlight, ONE))
                    red, green, blue = red + r, green + g, blue + b
                    previous = ids[y, x] if texture[t] < 0 and seen.shape[0] == 0 else -1
            scale = FULL / np.float32(max(covered, 1))
            rgba[row, column, 0] = np.uint8(red * scale + HALF)
            rgba[row, column, 1] = np.uint8(green * scale + HALF)
            rgba[row, column, 2] = np.uint8(blue * scale + HALF)
            rgba[row, column, 3] = np.uint8(255.0 * covered / (samples * samples) + 0.5)
