"""Pictures of meshes: shaded triangles with their edges, inside-out ones in red."""

import numpy as np
import trimesh

from lit3d import drawing
from lit3d.structures import Structure
from lit3d.synthesis.cameras import Camera
from lit3d.synthesis.render import prepare, render
from lit3d.synthesis.shape import Shape

LINE = 0.9  # width of a drawn edge in pixels of the picture
DARK = 0.6  # what an edge takes of a colour
FINE = (2.0, 8.0)  # pixels of a triangle's least height up to which edges are left out, and from which on they are dark
INSIDE = np.array([0.85, 0.2, 0.15])  # colour of faces that turn their inner side to the camera
OVERSAMPLED = 2  # pixels a side of which a picture's pixel is the mean


def draw_mesh(
    vertices: np.ndarray, faces: np.ndarray, intrinsics: np.ndarray, size: int, colours: np.ndarray
) -> np.ndarray:
    """A mesh on white with its edges, lit from the camera.

    Args:
        vertices: (v, 3) camera coordinates.
        faces: (f, 3), counter-clockwise seen from outside; a face seen from its inner side is red.
        intrinsics: (3, 3) for a square picture of `size` pixels.
        size: side of the picture.
        colours: (v, 3) in [0, 1], of vertices.

    Returns:
        (size, size, 3) uint8; white alone where a vertex is not finite.
    """
    if not len(faces) or not np.isfinite(vertices).all():
        return np.full((size, size, 3), 255, np.uint8)
    fine, scaled = size * OVERSAMPLED, intrinsics.copy()
    scaled[:2] *= OVERSAMPLED
    plain = np.ones((len(faces), 3), np.float32)
    mesh = prepare(vertices, Shape(vertices, faces, plain, np.zeros(len(faces), np.int32)))
    view = render(mesh, Camera(scaled, np.eye(4), (fine, fine)), samples=1, crease_degrees=0)
    ray = np.stack(np.meshgrid(*[np.arange(fine) + 0.5] * 2), -1)
    ray = np.concatenate([(ray - scaled[:2, 2]) / scaled[[0, 1], [0, 1]], np.ones((fine, fine, 1))], -1)
    outward = mesh.vectors[view.triangle]
    inside = ((outward * ray).sum(-1) > 0)[..., None]
    light = 0.35 + 0.65 * np.abs((view.normal * ray).sum(-1)) / np.linalg.norm(ray, axis=-1)
    own = (colours[faces[view.triangle]] * view.barycentric[..., None]).sum(-2)
    line = _edges(view.barycentric, view.triangle, vertices, faces, scaled)
    colour = np.where(inside, INSIDE, own) * (light * (1 - DARK * line))[..., None]
    picture = np.where(view.mask[..., None], colour, 1.0).reshape(size, OVERSAMPLED, size, OVERSAMPLED, 3).mean((1, 3))
    return (255 * np.clip(picture, 0, 1) + 0.5).astype(np.uint8)


def _edges(
    barycentric: np.ndarray, triangle: np.ndarray, vertices: np.ndarray, faces: np.ndarray, intrinsics: np.ndarray
) -> np.ndarray:
    """How much (0 to 1) of an edge each pixel shows: none beside it, and in triangles too small for lines.

    A barycentric weight is the distance from an edge over the height on it.
    """
    image = vertices @ intrinsics.T
    corners = (image[:, :2] / np.maximum(image[:, 2:], 1e-6))[faces]
    sides = np.roll(corners, -2, axis=1) - np.roll(corners, -1, axis=1)  # opposite to each corner
    double = np.abs(sides[:, 0, 0] * sides[:, 1, 1] - sides[:, 0, 1] * sides[:, 1, 0])
    heights = double[:, None] / np.maximum(np.linalg.norm(sides, axis=2), 1e-9) / OVERSAMPLED
    strength = np.clip((heights.min(1) - FINE[0]) / (FINE[1] - FINE[0]), 0, 1)
    return strength[triangle] * ((barycentric * heights[triangle]).min(-1) < LINE / 2)


def two_views(
    prediction: Structure, i: int, points: np.ndarray, intrinsics: np.ndarray, pose: np.ndarray, up: np.ndarray,
    size: int, image_size: int,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Sample i of a prediction from the input's view, and turned by 90 degrees about `up`.

    Triangles of what is `solid`, else `points` (n, 3) of its surface; both in the target frame.
    """
    if not prediction.solid:
        return drawing.two_views(points, intrinsics, pose, up, size, image_size)
    return views_of(prediction.to_trimesh(i), intrinsics, pose, up, size, image_size)  # type: ignore[arg-type]


def views_of(
    shape: trimesh.Trimesh, intrinsics: np.ndarray, pose: np.ndarray, up: np.ndarray, size: int, image_size: int
) -> tuple[np.ndarray, np.ndarray]:
    """A mesh in the target frame from the input's view, and turned by 90 degrees about `up`."""
    scaled = intrinsics.copy()
    scaled[:2] *= size / image_size
    vertices, faces = np.asarray(shape.vertices), np.asarray(shape.faces)
    colours = drawing.colours_by_depth(vertices @ pose[:3, :3].T)
    cameras = [drawing.turned(vertices, angle, up) @ pose[:3, :3].T + pose[:3, 3] for angle in (0.0, 90.0)]
    front, turned = (draw_mesh(camera, faces, scaled, size, colours) for camera in cameras)
    return front, turned
