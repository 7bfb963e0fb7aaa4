"""Points on a mesh: area-uniform, over all of it or over what can be seen from outside.

Furniture meshes hide a third of their area (drawer boxes, undersides of stacked parts, double walls). A network cannot
learn it from pictures, and a metric should not ask for it, so targets are drawn from the outer surface.
"""

import math
from dataclasses import dataclass

import numpy as np

from lit3d.errors import UserError
from lit3d.ops.kernels import zbuffer
from lit3d.synthesis.cameras import look_from
from lit3d.synthesis.render import NEAR, RenderMesh, scratch
from lit3d.synthesis.shape import UnusableMeshError

TOLERANCE = 1e-3  # object units: sheets closer together than this count as one
GRAZING = 0.15  # cosine: a camera that sees a face under less than 9 degrees does not judge it
LEAST_VISIBLE = 0.02  # share of the area


@dataclass(frozen=True, eq=False)
class SurfaceSample:
    """Area-uniform points on a surface.

    Attributes:
        points: (m, 3) float32, object frame.
        normals: (m, 3) float32, unit face normals; of `outer_surface`, towards the side that is seen from outside (the
            side of the winding where both are).
        faces: (m,) int64, the face that each point lies on.
        dropped_share: estimated share of the area that no outside view sees.
    """

    points: np.ndarray
    normals: np.ndarray
    faces: np.ndarray
    dropped_share: float


def sample_surface(vertices: np.ndarray, faces: np.ndarray, count: int,
                   rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Points drawn uniformly by area.

    Source: Osada et al., Shape Distributions (2002), for the point within a triangle.

    Args:
        vertices: (v, 3).
        faces: (f, 3); faces without area are never drawn.
        count: how many.
        rng: source of randomness.

    Returns:
        points (count, 3) float32, faces (count,) int64.

    Raises:
        UnusableMeshError: the surface has no area.
    """
    corners = np.asarray(vertices, np.float32)
    triangles = np.ascontiguousarray(faces, np.int32)
    vectors = zbuffer.face_vectors(corners, triangles).astype(np.float64)
    return _draw(corners, triangles, _cumulative_area(vectors), count, rng)


def _cumulative_area(vectors: np.ndarray) -> np.ndarray:
    total = np.sqrt((vectors**2).sum(axis=1)).cumsum()
    if len(total) == 0 or not total[-1] > 0 or not math.isfinite(total[-1]):
        raise UnusableMeshError("the surface has no area: expected at least one triangle whose corners span a plane")
    return total


def _draw(vertices: np.ndarray, faces: np.ndarray, cumulative: np.ndarray, count: int,
          rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    share, first, second = rng.random((3, count))
    # side="right": a face without area, whose interval is empty, is never hit.
    chosen = np.searchsorted(cumulative, share * cumulative[-1], side="right")
    a, b, c = vertices[faces[chosen]].transpose(1, 0, 2)
    root = np.sqrt(first)[:, None]
    points = (1 - root) * a + root * (1 - second[:, None]) * b + root * second[:, None] * c
    return points.astype(np.float32), chosen


def all_surface(mesh: RenderMesh, count: int, rng: np.random.Generator) -> SurfaceSample:
    """Uniform by area over all faces, hidden ones too; normals as wound."""
    points, faces = _draw(mesh.vertices, mesh.faces, _cumulative_area(mesh.vectors.astype(np.float64)), count, rng)
    return SurfaceSample(points, _unit(mesh.vectors[faces]), faces, 0.0)


def outer_surface(mesh: RenderMesh, count: int, rng: np.random.Generator, *, directions: int = 42,
                  resolution: int = 192) -> SurfaceSample:
    """Uniform by area over what is visible from outside, from all sides, below included.

    Points are drawn on all faces and kept where at least one of the outside views sees them.

    Args:
        mesh: from `prepare`.
        count: how many points.
        rng: source of randomness.
        directions: how many views; they are spread evenly over the sphere.
        resolution: pixels per side of a view.

    Raises:
        UnusableMeshError: the surface has no area, or hardly any of it can be seen from outside.
        UserError: a number is out of range.
    """
    if count < 1 or directions < 1 or resolution < 16:
        raise UserError(f"expected count >= 1, directions >= 1 and resolution >= 16, "
                        f"got {count}, {directions} and {resolution}")
    cumulative = _cumulative_area(mesh.vectors.astype(np.float64))
    matrices, eyes, ids = _outside_views(mesh, directions, resolution)
    points, faces, sides, drawn, missing, share = [], [], [], 0, count, 1.0
    while missing > 0:
        # A little more than is likely to do: a second round costs more than some spare points.
        batch = math.ceil(1.05 * missing / share) + 64
        candidates, on_face = _draw(mesh.vertices, mesh.faces, cumulative, batch, rng)
        side = zbuffer.seen_sides(candidates, on_face, mesh.vertices, mesh.faces, mesh.vectors, matrices, eyes, ids,
                                  GRAZING, TOLERANCE)
        seen = side != 0
        points.append(candidates[seen])
        faces.append(on_face[seen])
        sides.append(side[seen])
        drawn += batch
        kept = sum(map(len, points))
        missing, share = count - kept, kept / drawn
        if share < LEAST_VISIBLE:
            raise UnusableMeshError(f"only {share:.1%} of the surface can be seen from outside "
                                    f"(at least {LEAST_VISIBLE:.0%} is needed)")
    faces_kept = np.concatenate(faces)[:count]
    normals = _unit(mesh.vectors[faces_kept]) * np.concatenate(sides)[:count, None]
    return SurfaceSample(np.concatenate(points)[:count], normals.astype(np.float32), faces_kept, 1.0 - share)


def _outside_views(mesh: RenderMesh, directions: int, resolution: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cameras around the object, matrices (d, 3, 4) and positions (d, 3), and the faces they see (d, r, r)."""
    matrices, eyes = look_from(_evenly_spread(directions), mesh.radius, resolution)
    ids = scratch.take("views", (directions, resolution, resolution), np.int32)
    projected = scratch.take("projected", (len(mesh.vertices), 5), np.float64)
    inverse_depth = scratch.take("inverse_depth", (resolution, resolution), np.float32)
    zbuffer.look_from_all_sides(mesh.vertices, mesh.faces, matrices, NEAR, projected, ids, inverse_depth)
    return matrices, eyes, ids


def _evenly_spread(count: int) -> np.ndarray:
    """(count, 3) unit vectors on a Fibonacci sphere: golden-angle turns at equal steps of height."""
    step = np.arange(count)
    height = 1 - (2 * step + 1) / count
    angle = step * math.pi * (3 - math.sqrt(5))
    ring = np.sqrt(1 - height**2)
    return np.stack([ring * np.cos(angle), height, ring * np.sin(angle)], axis=1)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
