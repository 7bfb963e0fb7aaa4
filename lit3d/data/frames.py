"""The frame of every 3D target and prediction, in one place."""

import numpy as np

from lit3d.errors import UserError

FRAMES = ("viewer", "object")
MIRROR = np.diag([-1.0, 1.0, 1.0, 1.0])


def check_frame(frame: str) -> None:
    """Refuse a frame that is not one of `FRAMES`.

    Raises:
        UserError: naming both.
    """
    if frame not in FRAMES:
        raise UserError(f"data.frame must be one of {' or '.join(FRAMES)}, got '{frame}'")


def target_frame(object_to_camera: np.ndarray, frame: str) -> tuple[np.ndarray, np.ndarray]:
    """`object_to_target` and `pose` (target -> camera), both (4, 4), for a view.

    viewer: the camera's axes, origin at the object's centre, so `pose` is a translation.
    object: the object's own axes, so `object_to_target` is the identity.
    """
    if frame == "object":
        return np.eye(4), object_to_camera
    turned, moved = np.eye(4), np.eye(4)
    turned[:3, :3], moved[:3, 3] = object_to_camera[:3, :3], object_to_camera[:3, 3]
    return turned, moved


def apply(transform: np.ndarray, points: np.ndarray) -> np.ndarray:
    """A (4, 4) rigid map applied to points (n, 3), in float32."""
    matrix = transform.astype(np.float32)
    return points @ matrix[:3, :3].T + matrix[:3, 3]
