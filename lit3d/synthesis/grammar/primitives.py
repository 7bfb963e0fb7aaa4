"""Closed solids that the grammar is built of: each is watertight, consistently wound outwards and free of slivers.

Almost everything is a loft: rings of m points, joined in order and closed by caps, by poles (a ring that is one point)
or by joining the last ring to the first. Axes: x right, y up, z towards the front of the object.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

Vector = Sequence[float] | np.ndarray  # one point or size (3,)
Points = ArrayLike  # rows of numbers
_POLE = 1e-12  # a ring smaller than this is one point


@dataclass(frozen=True)
class Solid:
    """One closed triangle mesh: vertices (v, 3) float64 and faces (f, 3) int64, wound outwards."""

    vertices: np.ndarray
    faces: np.ndarray

    def moved(self, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> "Solid":
        """The solid shifted by (x, y, z)."""
        return Solid(self.vertices + np.array((x, y, z)), self.faces)

    def scaled(self, x: float, y: float, z: float) -> "Solid":
        """The solid stretched about the origin by positive factors."""
        return Solid(self.vertices * np.array((x, y, z)), self.faces)

    def turned(self, axis: str, degrees: float, pivot: Vector = (0.0, 0.0, 0.0)) -> "Solid":
        """The solid turned about the line through `pivot` along `axis` (x, y or z), right-hand rule."""
        pivot = np.asarray(pivot, dtype=np.float64)
        return Solid((self.vertices - pivot) @ rotation(axis, degrees).T + pivot, self.faces)

    def mirrored(self) -> "Solid":
        """The mirror image in the plane x = 0, wound outwards again."""
        return Solid(self.vertices * np.array((-1.0, 1.0, 1.0)), self.faces[:, ::-1])


def rotation(axis: str, degrees: float) -> np.ndarray:
    """Rotation matrix (3, 3) about a coordinate axis, right-hand rule."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    i = "xyz".index(axis)
    j, k = (i + 1) % 3, (i + 2) % 3
    matrix = np.eye(3)
    matrix[j, j], matrix[j, k], matrix[k, j], matrix[k, k] = c, -s, s, c
    return matrix


def signed_volume(vertices: np.ndarray, faces: np.ndarray) -> float:
    """Volume enclosed by closed faces; negative when they are wound inwards (divergence theorem)."""
    a, b, c = np.moveaxis(vertices[faces], 1, 0)
    return float(np.einsum("ij,ij->", a, np.cross(b, c)) / 6)


def box(centre: Vector, size: Vector) -> Solid:
    """An axis-parallel box."""
    half = np.asarray(size, dtype=np.float64) / 2
    return Solid(np.asarray(centre, dtype=np.float64) + _BOX_CORNERS * half, _BOX_FACES)


_BOX_CORNERS = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], dtype=np.float64)
_BOX_FACES = np.array(
    [[0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1],
     [2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3]]
)  # fmt: skip


@functools.lru_cache(maxsize=256)
def _loft_faces(count: int, m: int, first_pole: bool, last_pole: bool, closed: bool) -> np.ndarray:
    """Side faces of a loft of `count` rings, in vertex ids after poles became one vertex."""
    size = np.full(count, m)
    size[0] = 1 if first_pole else m
    size[-1] = 1 if last_pole else m
    start = np.concatenate([[0], np.cumsum(size)[:-1]])
    ids = start[:, None] + np.arange(m)[None] % size[:, None]
    lower, upper = (ids, np.roll(ids, -1, axis=0)) if closed else (ids[:-1], ids[1:])
    right_lower, right_upper = np.roll(lower, -1, axis=1), np.roll(upper, -1, axis=1)
    triangles = np.concatenate(
        [np.stack([lower, right_lower, right_upper], -1), np.stack([lower, right_upper, upper], -1)]
    ).reshape(-1, 3)
    a, b, c = triangles.T
    return triangles[(a != b) & (b != c) & (c != a)]


@functools.lru_cache(maxsize=256)
def _fan(m: int) -> np.ndarray:
    """Triangles of a convex polygon of m corners."""
    return np.array([[0, i, i + 1] for i in range(1, m - 1)])


def loft(rings: np.ndarray, closed: bool = False, cap: np.ndarray | None = None) -> Solid:
    """Joins rings of points to a closed surface.

    Args:
        rings: (k, m, 3), all wound alike; a first or last ring that is one point is a pole.
        closed: joins the last ring to the first, as in a torus, instead of closing both ends.
        cap: (t, 3) triangles of a ring's polygon; default a fan, which suits convex rings only.
    """
    count, m, _ = rings.shape
    poles = [not closed and bool(np.ptp(rings[i], axis=0).max() < _POLE) for i in (0, -1)]
    first, last = (rings[i, :1] if pole else rings[i] for i, pole in zip((0, -1), poles, strict=True))
    vertices = np.concatenate([first, rings[1:-1].reshape(-1, 3), last])
    faces = [_loft_faces(count, m, poles[0], poles[1], closed)]
    cap = _fan(m) if cap is None else cap
    if not closed and not poles[0]:
        faces.append(cap[:, ::-1])
    if not closed and not poles[1]:
        faces.append(cap + len(vertices) - m)
    triangles = np.concatenate(faces)
    if signed_volume(vertices - vertices[0], triangles) < 0:
        triangles = triangles[:, ::-1]
    return Solid(vertices, triangles)


@functools.lru_cache(maxsize=64)
def circle(segments: int) -> np.ndarray:
    """Corners (segments, 2) of a regular polygon in the unit circle; the sides of a square face the axes."""
    angle = 2 * np.pi * (np.arange(segments) + 0.5) / segments
    return np.stack([np.cos(angle), np.sin(angle)], axis=-1)


def rounded_rectangle(width: float, depth: float, radius: float, per_corner: int = 3) -> np.ndarray:
    """Corners (4 * per_corner, 2) of a rectangle with round corners, counter-clockwise about the origin."""
    radius = min(radius, 0.49 * width, 0.49 * depth)
    angle = np.radians(np.linspace(0, 90, per_corner))
    arc = radius * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    corners = []
    for quarter, (sx, sz) in enumerate(((1, 1), (-1, 1), (-1, -1), (1, -1))):
        turn = rotation("z", 90.0 * quarter)[:2, :2]
        corners.append(arc @ turn.T + np.array((sx * (width / 2 - radius), sz * (depth / 2 - radius))))
    return np.concatenate(corners)


def level(polygon: np.ndarray, y: float, centre: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
    """A polygon (m, 2) in (x, z) as a ring (m, 3) at height y, shifted by `centre`."""
    return np.stack([polygon[:, 0] + centre[0], np.full(len(polygon), float(y)), polygon[:, 1] + centre[1]], axis=-1)


def slab(polygon: np.ndarray, bottom: float, top: float, taper: float = 1.0) -> Solid:
    """A horizontal plate: a simple polygon (m, 2) in (x, z) between two heights, its foot scaled by `taper`."""
    rings = np.stack([level(polygon * taper, bottom), level(polygon, top)])
    return loft(rings, cap=triangulated(polygon))


def extrusion(polygon: np.ndarray, width: float) -> Solid:
    """A simple polygon (m, 2) in (z, y), a side view, extruded along x over [-width / 2, width / 2]."""
    z, y = polygon.T
    rings = np.stack([np.stack([np.full(len(z), x), y, z], axis=-1) for x in (-width / 2, width / 2)])
    return loft(rings, cap=triangulated(polygon))


def front(polygon: np.ndarray, depth: float) -> Solid:
    """A simple polygon (m, 2) in (x, y), a front view, extruded along z over [-depth / 2, depth / 2]."""
    x, y = polygon.T
    rings = np.stack([np.stack([x, y, np.full(len(x), z)], axis=-1) for z in (-depth / 2, depth / 2)])
    return loft(rings, cap=triangulated(polygon))


def post(top: Vector, foot: Vector, top_size: float, foot_size: float, sides: int = 4) -> Solid:
    """A leg with level ends: sections are regular polygons whose diameter is `top_size` and `foot_size`."""
    section = circle(sides) * (np.sqrt(0.5) if sides == 4 else 0.5)
    rings = [level(section * size, end[1], (end[0], end[2])) for end, size in ((foot, foot_size), (top, top_size))]
    return loft(np.stack(rings))


def lathe(profile: Points, segments: int = 16, closed: bool = False) -> Solid:
    """A profile (k, 2) of (radius, height) turned about the y axis.

    Ends on the axis become poles, other ends flat caps; `closed` joins the last point to the first (a ring).
    """
    radius, height = np.asarray(profile, dtype=np.float64).T
    section = circle(segments)
    rings = np.empty((len(radius), segments, 3))
    rings[..., 0] = radius[:, None] * section[:, 0]
    rings[..., 1] = height[:, None]
    rings[..., 2] = radius[:, None] * section[:, 1]
    return loft(rings, closed=closed)


def disc(centre: Vector, radius: float, height: float, segments: int = 16) -> Solid:
    """An upright cylinder whose foot is centred at `centre`."""
    return lathe([(radius, 0.0), (radius, height)], segments).moved(*centre)


def ellipsoid(centre: Vector, radii: Vector, segments: int = 12, rings: int = 7) -> Solid:
    """An axis-parallel ellipsoid."""
    angle = np.linspace(-np.pi / 2, np.pi / 2, rings)
    profile = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    profile[[0, -1], 0] = 0.0
    return lathe(profile, segments).scaled(*radii).moved(*centre)


def torus(centre: Vector, radius: float, thickness: float, segments: int = 16, sides: int = 6) -> Solid:
    """A horizontal ring: radius to the middle of the tube, whose diameter is `thickness`."""
    section = circle(sides) * thickness / 2
    return lathe(section + np.array((radius, 0.0)), segments, closed=True).moved(*centre)


def arc(radius: float, start: float, stop: float, count: int) -> np.ndarray:
    """Points (count, 2) on a circle about the origin, from `start` to `stop` degrees."""
    angle = np.radians(np.linspace(start, stop, count))
    return radius * np.stack([np.cos(angle), np.sin(angle)], axis=-1)


def wall(outer: np.ndarray, inner: np.ndarray, bottom: float, top: float) -> Solid:
    """What stands between two curves (k, 2) in (x, z), point against point, from `bottom` to `top`."""
    corners = [level(curve, y) for curve, y in ((outer, bottom), (outer, top), (inner, top), (inner, bottom))]
    return loft(np.stack(corners, axis=1))


def sector(inner: float, outer: float, degrees: float, bottom: float, top: float) -> Solid:
    """Part of an upright ring of two radii that spans an angle, centred on the -z axis, open towards +z."""
    start, stop = 270 - degrees / 2, 270 + degrees / 2
    return wall(arc(outer, start, stop, 13), arc(inner, start, stop, 13), bottom, top)


def board(centre: Vector, size: Vector, radius: float = 0.01) -> Solid:
    """An upright or level board: a box whose upright edges are round."""
    width, height, depth = (float(s) for s in size)
    return slab(rounded_rectangle(width, depth, radius), -height / 2, height / 2).moved(*centre)


def _frames(path: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Tangents (k, 3) along a path, halfway between both neighbours at a corner, and sides (k, 3) that twist least."""
    step = np.diff(path, axis=0)
    step /= np.linalg.norm(step, axis=1, keepdims=True)
    tangent = np.concatenate([step[:1], step[:-1] + step[1:], step[-1:]])
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    up = np.array((0.0, 1.0, 0.0)) if abs(tangent[0, 1]) < 0.9 else np.array((0.0, 0.0, 1.0))
    side = np.empty_like(tangent)
    previous = np.cross(tangent[0], up)
    for i, t in enumerate(tangent):
        side[i] = previous - t * (previous @ t)
        side[i] /= np.linalg.norm(side[i])
        previous = side[i]
    return tangent, side


def _mitred(rings: np.ndarray, path: np.ndarray, tangent: np.ndarray) -> np.ndarray:
    """Offsets (k, m, 3) stretched in the direction of each bend: a cut along the bisector would thin the arms."""
    incoming = path[1:-1] - path[:-2]
    incoming /= np.linalg.norm(incoming, axis=1, keepdims=True)
    cosine = np.einsum("ij,ij->i", incoming, tangent[1:-1])
    bend = tangent[1:-1] * cosine[:, None] - incoming
    bend /= np.maximum(np.linalg.norm(bend, axis=1, keepdims=True), 1e-9)
    along = np.einsum("kmj,kj->km", rings[1:-1], bend)
    stretched = rings.copy()
    stretched[1:-1] += (along * (1 / np.clip(cosine, 0.5, 1.0) - 1)[:, None])[..., None] * bend[:, None]
    return stretched


def sweep(path: Points, section: np.ndarray, scale: ArrayLike = 1.0) -> Solid:
    """A convex section (m, 2) of (side, up), carried along a path (k, 3) and scaled by `scale` (k,) on the way."""
    path = np.asarray(path, dtype=np.float64)
    tangent, side = _frames(path)
    up = np.cross(side, tangent)
    factor = np.broadcast_to(np.asarray(scale, dtype=np.float64), (len(path),))[:, None, None]
    rings = factor * (side[:, None] * section[None, :, :1] + up[:, None] * section[None, :, 1:])
    return loft(path[:, None] + _mitred(rings, path, tangent))


def tube(path: Points, thickness: float, sides: int = 6, scale: ArrayLike = 1.0) -> Solid:
    """A round rod along a path (k, 3); two points make a cylinder, `scale` (k,) a cone."""
    return sweep(path, circle(sides) * thickness / 2, scale)


def beam(start: Vector, end: Vector, width: float, height: float) -> Solid:
    """A straight bar of rectangular section: `width` across (level where it can be), `height` upwards."""
    section = np.array([(1, 1), (-1, 1), (-1, -1), (1, -1)]) * np.array((width / 2, height / 2))
    return sweep(np.array([start, end]), section)


def hull(stations: Points, segments: int = 12) -> Solid:
    """A body along z through elliptic stations (k, 4) of (z, y, radius in x, radius in y); zero radii are poles."""
    z, y, radius_x, radius_y = np.asarray(stations, dtype=np.float64).T
    section = circle(segments)
    rings = np.empty((len(z), segments, 3))
    rings[..., 0] = radius_x[:, None] * section[:, 0]
    rings[..., 1] = y[:, None] + radius_y[:, None] * section[:, 1]
    rings[..., 2] = z[:, None]
    return loft(rings)


def cushion(centre: Vector, size: Vector, softness: float = 0.5) -> Solid:
    """A pillow-like box: round corners seen from above, edges drawn in by `softness` of half its height."""
    width, height, depth = (float(s) for s in size)
    inset = softness * min(height, width, depth) / 2
    outer = rounded_rectangle(width, depth, 2 * inset)
    inner = rounded_rectangle(width - 2 * inset, depth - 2 * inset, inset)
    heights = (-height / 2, -height / 2 + inset, height / 2 - inset, height / 2)
    rings = [level(p, y) for p, y in zip((inner, outer, outer, inner), heights, strict=True)]
    return loft(np.stack(rings)).moved(*centre)


def triangulated(polygon: np.ndarray) -> np.ndarray:
    """Triangles (m - 2, 3) of a simple polygon (m, 2) without straight corners: a fan if convex, else ear clipping."""
    area = np.sum(_turn(polygon, np.roll(polygon, -1, axis=0), np.zeros(2)))
    corner = _turn(np.roll(polygon, 1, axis=0), polygon, np.roll(polygon, -1, axis=0)) * np.sign(area)
    if (corner > 0).all():
        return _fan(len(polygon))
    remaining, triangles = list(range(len(polygon))), []
    while len(remaining) > 3:
        at = _ear(polygon, remaining, float(np.sign(area)))
        triangles.append((remaining[at - 1], remaining[at], remaining[(at + 1) % len(remaining)]))
        del remaining[at]
    return np.array([*triangles, remaining])


def _turn(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Twice the signed area of the triangles a, b, c (..., 2)."""
    return (b[..., 0] - a[..., 0]) * (c[..., 1] - a[..., 1]) - (b[..., 1] - a[..., 1]) * (c[..., 0] - a[..., 0])


def _ear(polygon: np.ndarray, remaining: list[int], sign: float) -> int:
    """Position in `remaining` of the corner whose triangle is empty and fattest (so that no slivers are left)."""
    points = polygon[remaining]
    before, after = np.roll(points, 1, axis=0), np.roll(points, -1, axis=0)
    area = sign * _turn(before, points, after)
    for at in np.argsort(-area):
        a, b, c = before[at], points[at], after[at]
        inside = np.stack([sign * _turn(*np.broadcast_arrays(p, q, points)) for p, q in ((a, b), (b, c), (c, a))]) >= 0
        others = np.delete(inside.all(axis=0), [at - 1, at, (at + 1) % len(remaining)])
        if area[at] > 0 and not others.any():
            return int(at)
    raise ValueError("The polygon crosses itself and cannot be triangulated; expected a simple polygon.")
