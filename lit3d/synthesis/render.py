"""Pictures of a mesh: colour with straight alpha, mask, depth, normals, triangle, from the z-buffer kernels.

Once per mesh: `mesh = prepare(normalised(shape.vertices, *bounds(shape)), shape)`.
Per view: `view = render(mesh, camera, lights=draw_lights(rng, 0.5))`, then `composite(view.rgba, "white")`.
"""

import math
import threading
import weakref
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import Image

from lit3d.errors import UserError
from lit3d.ops.kernels import shading, zbuffer
from lit3d.synthesis.cameras import Camera, look_from
from lit3d.synthesis.lights import Lights, draw_lights, jitter_colours
from lit3d.synthesis.shape import Shape, UnusableMeshError

__all__ = ["Lights", "RenderMesh", "View", "composite", "draw_lights", "jitter_colours", "prepare", "render"]

NEAR = 1e-3  # nearest visible depth, in units of the object's longest side
SHADOW_TOLERANCE = 2.5  # shadow-map pixels: less speckles, more detaches shadows from what casts them


@dataclass(frozen=True, eq=False)
class RenderMesh:
    """A mesh made ready for rendering.

    Attributes:
        vertices: (v, 3) float32, object frame.
        faces: (f, 3) int32.
        vectors: (f, 3) float32, face normals times twice the area.
        around: faces around each vertex.
        material: colours and textures.
        radius: of the sphere about the origin that holds all vertices.
    """

    vertices: np.ndarray
    faces: np.ndarray
    vectors: np.ndarray
    around: zbuffer.Adjacency
    material: shading.Material
    radius: float

    def recoloured(self, colours: np.ndarray) -> "RenderMesh":
        """The same mesh with other face colours (f, 3) in [0, 1]; textures stay."""
        return replace(self, material=self.material._replace(colours=np.ascontiguousarray(colours, np.float32)))


@dataclass(frozen=True, eq=False)
class View:
    """What a camera sees. All but `rgba` is exact at the pixel centres, so mask and alpha differ along outlines.

    Attributes:
        rgba: (h, w, 4) uint8, straight alpha: the share of sub-pixels that the object covers, and their mean colour.
        mask: (h, w) bool.
        depth: (h, w) float32, camera z in object units, 0 = background.
        normal: (h, w, 3) float32, unit normal of the flat triangle (no smoothing) in camera axes, turned towards the
            camera, 0 = background.
        triangle: (h, w) int32, row of `faces`, -1 = background.
        barycentric: (h, w, 3) float32, weights of the triangle's corners, 0 = background.
    """

    rgba: np.ndarray
    mask: np.ndarray
    depth: np.ndarray
    normal: np.ndarray
    triangle: np.ndarray
    barycentric: np.ndarray


def prepare(vertices: np.ndarray, shape: Shape, *, texture_limit: int = 256) -> RenderMesh:
    """Lay a mesh out for the kernels, once for all its views.

    Args:
        vertices: (v, 3) the shape's vertices in the object frame (`lit3d.synthesis.shape.normalised`).
        shape: faces, colours and textures.
        texture_limit: larger textures are averaged down to at most this many pixels a side: pictures are small, and
            sampling a fine texture at few points would speckle them.

    Raises:
        UnusableMeshError: no faces, non-finite numbers, or indices out of range.
    """
    points = np.ascontiguousarray(vertices, np.float32)
    faces = np.ascontiguousarray(shape.faces, np.int32)
    _check_geometry(points, faces)
    return RenderMesh(points, faces, zbuffer.face_vectors(points, faces), zbuffer.faces_around(faces, len(points)),
                      _material(shape, texture_limit), float(np.sqrt((points**2).sum(axis=1).max())))


def _check_geometry(vertices: np.ndarray, faces: np.ndarray) -> None:
    if vertices.ndim != 2 or vertices.shape[1] != 3 or faces.ndim != 2 or faces.shape[1] != 3 or len(faces) == 0:
        raise UnusableMeshError(f"expected vertices (v, 3) and at least one triangle (f, 3), "
                                f"got {vertices.shape} and {faces.shape}")
    if not np.isfinite(vertices).all():
        raise UnusableMeshError("vertices hold NaN or infinite coordinates")
    if faces.min() < 0 or faces.max() >= len(vertices):
        raise UnusableMeshError(f"faces point to vertices {faces.min()}..{faces.max()}, "
                                f"but there are only {len(vertices)}")


def _material(shape: Shape, limit: int) -> shading.Material:
    count = len(shape.faces)
    colours = np.ascontiguousarray(shape.colours, np.float32)
    if colours.shape != (count, 3) or not np.isfinite(colours).all():
        raise UnusableMeshError(f"expected finite colours ({count}, 3), one per face, got {colours.shape}")
    if shape.texture_of_face is None or shape.uv is None:
        return shading.Material(colours, np.full(count, -1, np.int32), np.zeros((0, 3, 2), np.float32),
                                np.zeros((0, 3), np.uint8), np.zeros((0, 3), np.int64))
    texture = np.ascontiguousarray(shape.texture_of_face, np.int32)
    uv = np.ascontiguousarray(shape.uv, np.float32)
    if uv.shape != (count, 3, 2) or texture.shape != (count,) or not np.isfinite(uv).all():
        raise UnusableMeshError(f"expected finite uv ({count}, 3, 2) and texture_of_face ({count},), "
                                f"got {uv.shape} and {texture.shape}")
    if texture.max() >= len(shape.textures):
        raise UnusableMeshError(f"a face uses texture {texture.max()}, but there are only {len(shape.textures)}")
    return shading.Material(colours, texture, uv, *_atlas(shape.textures, limit))


def _atlas(textures: tuple[np.ndarray, ...], limit: int) -> tuple[np.ndarray, np.ndarray]:
    """All texels (t, 3) uint8 one after another, and the layout (k, 3): first texel, height, width."""
    texels, layout, first = [np.zeros((0, 3), np.uint8)], [], 0
    for texture in textures:
        if texture.ndim != 3 or texture.shape[2] != 3 or texture.dtype != np.uint8 or texture.size == 0:
            raise UnusableMeshError(f"expected RGB textures (h, w, 3) uint8, got {texture.shape} {texture.dtype}")
        factor = math.ceil(max(texture.shape[:2]) / limit)
        small = np.asarray(Image.fromarray(texture).reduce(factor)) if factor > 1 else texture
        texels.append(small.reshape(-1, 3))
        layout.append((first, *small.shape[:2]))
        first += len(texels[-1])
    return np.ascontiguousarray(np.concatenate(texels)), np.array(layout, np.int64).reshape(-1, 3)


class _Scratch(threading.local):
    """Buffers that each thread keeps between views: fresh large arrays cost more in page faults than they hold."""

    def __init__(self) -> None:
        self.flat: dict[str, np.ndarray] = {}
        self.smoothed_for: tuple[weakref.ref, float] | None = None

    def take(self, name: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """An array with whatever content it last had."""
        size = math.prod(shape)
        if name not in self.flat or self.flat[name].size < size:
            self.flat[name] = np.empty(int(size * 1.25), dtype)
        return self.flat[name][:size].reshape(shape)

    def corner_normals(self, mesh: RenderMesh, cos_crease: float) -> tuple[np.ndarray, np.ndarray]:
        """Corner normals (f, 3, 3) of the faces this thread has shaded so far, and which (f,) those are."""
        count = len(mesh.faces)
        corners = self.take("corners", (count, 3, 3), np.float32)
        smoothed = self.take("smoothed", (count,), np.bool_)
        known = self.smoothed_for
        if known is None or known[0]() is not mesh.vectors or known[1] != cos_crease:
            smoothed[:] = False
            self.smoothed_for = (weakref.ref(mesh.vectors), cos_crease)
        return corners, smoothed


scratch = _Scratch()


def render(mesh: RenderMesh, camera: Camera, *, samples: int = 2, lights: Lights | None = None,
           crease_degrees: float = 40.0, shadows: bool = False, near: float = NEAR) -> View:
    """Render one view. Safe to call from several threads; the interpreter lock is free while kernels run.

    Args:
        mesh: from `prepare`.
        camera: the camera; it may stand inside the object.
        samples: colour is taken at samples x samples sub-pixels; everything else once, at the pixel centre.
        lights: the default `Lights()`.
        crease_degrees: edges between faces that differ by more than this stay sharp in the shading; 0 = flat faces.
        shadows: whether the key light casts shadows (by a shadow map of twice the picture's pixels).
        near: nearest visible depth in object units.

    Raises:
        UserError: `samples`, `crease_degrees` or `near` out of range.
    """
    if not (1 <= samples <= 16 and 0 <= crease_degrees <= 90 and near > 0):
        raise UserError(f"expected samples in 1..16, crease_degrees in 0..90 and near > 0, "
                        f"got {samples}, {crease_degrees} and {near}")
    height, width = camera.size
    rotation, inverse = camera.object_to_camera[:3, :3], np.linalg.inv(camera.intrinsics)
    triangle = np.empty((height, width), np.int32)
    projected = _rasterise(mesh, camera, 1, near, triangle)
    mask, depth = np.empty((height, width), np.bool_), np.empty((height, width), np.float32)
    normal, barycentric = np.empty((2, height, width, 3), np.float32)
    zbuffer.resolve(projected, mesh.faces, mesh.vectors, rotation, triangle, inverse, mask, depth, normal, barycentric)

    ids = triangle
    if samples > 1:
        ids = scratch.take("ids", (height * samples, width * samples), np.int32)
        projected = _rasterise(mesh, camera, samples, near, ids)
    lamps = lights or Lights()
    setting = lamps.in_object_frame(rotation, camera.centre)
    shadow = _shadow(mesh, setting.directions[0], 2 * max(camera.size), near) if shadows else NO_SHADOW
    cos_crease = math.cos(math.radians(crease_degrees)) - 1e-6  # coplanar neighbours belong together at 0 degrees
    rgba = np.empty((height, width, 4), np.uint8)
    back = rotation.T @ inverse @ np.diag([1 / samples, 1 / samples, 1.0])
    shading.shade(projected, mesh.vertices, mesh.faces, mesh.vectors, mesh.around, mesh.material, setting, shadow,
                  back, cos_crease, samples, ids, *scratch.corner_normals(mesh, cos_crease), rgba)
    return View(rgba, mask, depth, normal, triangle, barycentric)


def _rasterise(mesh: RenderMesh, camera: Camera, scale: int, near: float, ids: np.ndarray) -> np.ndarray:
    """Fill `ids`; returns the projected vertices (v, 5), which stay valid until the thread's next call."""
    projected = scratch.take("projected", (len(mesh.vertices), 5), np.float64)
    zbuffer.project_vertices(mesh.vertices, camera.matrix, float(scale), projected)
    zbuffer.rasterise(projected, mesh.faces, near, ids, scratch.take("inverse_depth", ids.shape, np.float32))
    return projected


NO_SHADOW = shading.Shadow(np.empty((0, 0), np.int32), np.zeros((3, 4)), np.zeros(3), 0.0)


def _shadow(mesh: RenderMesh, towards_light: np.ndarray, side: int, near: float) -> shading.Shadow:
    """What the key light sees."""
    side = min(max(side, 128), 1024)
    matrices, eyes = look_from(towards_light[None], mesh.radius, side)
    ids = scratch.take("shadow", (1, side, side), np.int32)
    projected = scratch.take("from_light", (len(mesh.vertices), 5), np.float64)
    zbuffer.look_from_all_sides(mesh.vertices, mesh.faces, matrices, near, projected, ids,
                                scratch.take("inverse_depth", (side, side), np.float32))
    return shading.Shadow(ids[0], matrices[0], eyes[0], SHADOW_TOLERANCE * 2 * mesh.radius / side)


def composite(rgba: np.ndarray, background: tuple[float, float, float] | np.ndarray | str = "white") -> np.ndarray:
    """Put a view on a background of one colour.

    Args:
        rgba: (h, w, 4) uint8, straight alpha.
        background: (3,) colour in [0, 1], or "white".

    Returns:
        (3, h, w) float32 in [0, 1], the layout of the sample's `image`.

    Raises:
        UserError: the background is neither.
    """
    colour = np.ones(3) if isinstance(background, str) and background == "white" else background
    if isinstance(colour, str) or np.shape(colour) != (3,) or not 0 <= np.min(colour) <= np.max(colour) <= 1:
        raise UserError(f"background must be 'white' or three numbers in [0, 1], got {background!r}")
    planes = rgba.transpose(2, 0, 1).astype(np.float32) / 255
    behind = np.asarray(colour, np.float32)[:, None, None]
    return behind + planes[3] * (planes[:3] - behind)
