"""Normals of a depth map for data that has none of its own."""

import numpy as np
from jaxtyping import Float

JUMP = 0.05  # of the depth: neighbours that differ by more belong to two surfaces


def normals_of(depth: Float[np.ndarray, "h w"], intrinsics: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "h w 3"]:
    """Unit normals towards the camera, by central differences of the unprojected grid; float32.

    Args:
        depth: camera z, 0 where it is not known.
        intrinsics: pixels, centres at +0.5.

    Returns:
        0 where a pixel or one of its four neighbours is not known, or lies across a depth edge.
    """
    h, w = depth.shape
    pixels = np.stack([*np.meshgrid(np.arange(w) + 0.5, np.arange(h) + 0.5), np.ones((h, w))], axis=-1)
    points = depth[..., None] * (pixels @ np.linalg.inv(intrinsics.astype(np.float64)).T)
    out = np.zeros((h, w, 3), np.float32)
    if min(h, w) < 3:
        return out
    centre = depth[1:-1, 1:-1]
    around = np.stack([depth[1:-1, :-2], depth[1:-1, 2:], depth[:-2, 1:-1], depth[2:, 1:-1]])
    known = (centre > 0) & (around > 0).all(0) & (np.abs(around - centre) < JUMP * centre).all(0)
    right, down = points[1:-1, 2:] - points[1:-1, :-2], points[2:, 1:-1] - points[:-2, 1:-1]
    normal = np.cross(down, right)  # x right, y down, z forward: it points to the camera
    length = np.linalg.norm(normal, axis=-1, keepdims=True)
    out[1:-1, 1:-1] = np.where(known[..., None], normal / np.maximum(length, 1e-12), 0)
    return out
