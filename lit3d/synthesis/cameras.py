"""Pinhole cameras around an object, and how views are drawn at random.

Object frame: right-handed, y up. Camera frame: OpenCV (x right, y down, z forward). Pixel centres lie at +0.5.
"""

from dataclasses import dataclass

import numpy as np

from lit3d.errors import UserError

Interval = tuple[float, float]


@dataclass(frozen=True, eq=False)
class Camera:
    """A pinhole camera.

    Attributes:
        intrinsics: (3, 3) float64, pixels; upper triangular with last row (0, 0, 1).
        object_to_camera: (4, 4) float64, rigid.
        size: (h, w) of the picture in pixels.

    Raises:
        UserError: one of them is not what it should be.
    """

    intrinsics: np.ndarray
    object_to_camera: np.ndarray
    size: tuple[int, int]

    def __post_init__(self) -> None:
        k = np.asarray(self.intrinsics, np.float64)
        pose = np.asarray(self.object_to_camera, np.float64)
        _check(k, pose, self.size)
        object.__setattr__(self, "intrinsics", k)
        object.__setattr__(self, "object_to_camera", pose)
        object.__setattr__(self, "size", (int(self.size[0]), int(self.size[1])))

    @property
    def centre(self) -> np.ndarray:
        """(3,) the camera's position in the object frame."""
        return -self.object_to_camera[:3, :3].T @ self.object_to_camera[:3, 3]

    @property
    def matrix(self) -> np.ndarray:
        """(3, 4) maps a homogeneous object point to (u z, v z, z)."""
        return self.intrinsics @ self.object_to_camera[:3]


def _check(k: np.ndarray, pose: np.ndarray, size: tuple[int, int]) -> None:
    if k.shape != (3, 3) or pose.shape != (4, 4):
        raise UserError(f"a camera needs intrinsics (3, 3) and object_to_camera (4, 4), got {k.shape} and {pose.shape}")
    if not (np.isfinite(k).all() and np.isfinite(pose).all()):
        raise UserError("intrinsics and object_to_camera of a camera must be finite")
    below_diagonal = (k[1, 0], k[2, 0], k[2, 1])
    if k[0, 0] <= 0 or k[1, 1] <= 0 or any(below_diagonal) or k[2, 2] != 1:
        raise UserError(f"intrinsics must be [[fx, s, cx], [0, fy, cy], [0, 0, 1]] with fx, fy > 0, got {k.tolist()}")
    rotation = pose[:3, :3]
    if np.abs(rotation @ rotation.T - np.eye(3)).max() > 1e-5 or np.linalg.det(rotation) < 0:
        raise UserError("object_to_camera must be rigid: a rotation without scale or mirroring, and a translation")
    if len(size) != 2 or min(size) < 1:
        raise UserError(f"size must be (h, w) with both at least 1 pixel, got {tuple(size)}")


@dataclass(frozen=True)
class ViewRange:
    """What views are drawn from, each uniformly. The defaults are 3D-R2N2's renderings of ShapeNet.

    Source: Choy et al., 3D-R2N2 (ECCV 2016), published rendering script: 35 mm lens on a 32 mm sensor, largest
    camera distance 1.75 for objects with a bounding-box *diagonal* of 1.

    Attributes:
        azimuth: degrees about +y; 0 looks from +z, 90 from +x.
        elevation: degrees above the horizon.
        distance_ratio: share of the largest distance.
        in_plane: degrees of roll; positive turns the picture clockwise.
        max_distance: the largest distance, in bounding-box diagonals.
        focal_ratio: focal length over picture width.
    """

    azimuth: Interval = (0.0, 360.0)
    elevation: Interval = (25.0, 30.0)
    distance_ratio: Interval = (0.65, 0.95)
    in_plane: Interval = (0.0, 0.0)
    max_distance: float = 1.75
    focal_ratio: float = 35.0 / 32.0

    def __post_init__(self) -> None:
        for name in ("azimuth", "elevation", "distance_ratio", "in_plane"):
            low, high = getattr(self, name)
            if not low <= high:
                raise UserError(f"{name} of a view range must be (low, high) with low <= high, got ({low}, {high})")
        if self.distance_ratio[0] <= 0 or self.max_distance <= 0 or self.focal_ratio <= 0:
            raise UserError("distance_ratio, max_distance and focal_ratio of a view range must be positive")
        if self.elevation[0] < -90 or self.elevation[1] > 90:
            raise UserError(f"elevation of a view range must lie in [-90, 90] degrees, got {self.elevation}")


def look_at_origin(azimuth_deg: float, elevation_deg: float, distance: float, *, focal: float,
                   size: tuple[int, int], in_plane: float = 0.0) -> Camera:
    """A camera that looks at the origin of the object frame, its principal point in the middle of the picture.

    Args:
        azimuth_deg: angle about +y: 0 looks from +z, 90 from +x.
        elevation_deg: angle above the horizon, in [-90, 90]; at the poles the azimuth still says where right is.
        distance: from the origin, in object units.
        focal: focal length in pixels.
        size: (h, w) in pixels.
        in_plane: roll in degrees; positive turns the picture clockwise.

    Raises:
        UserError: the distance is not positive, or an angle is not finite.
    """
    if not distance > 0:
        raise UserError(f"the distance of a camera must be positive, got {distance}")
    height, width = size
    pose = np.eye(4)
    pose[:3, :3] = _rotation(azimuth_deg, elevation_deg, in_plane)
    pose[2, 3] = distance
    return Camera(np.array([[focal, 0.0, width / 2], [0.0, focal, height / 2], [0.0, 0.0, 1.0]]), pose, size)


def _rotation(azimuth_deg: float, elevation_deg: float, in_plane_deg: float) -> np.ndarray:
    """(3, 3), rows = the camera's right, down and forward axis in the object frame."""
    azimuth, elevation, roll = np.deg2rad([azimuth_deg, elevation_deg, in_plane_deg])
    sin_a, cos_a, sin_e, cos_e = np.sin(azimuth), np.cos(azimuth), np.sin(elevation), np.cos(elevation)
    upright = np.array([
        [cos_a, 0.0, -sin_a],
        [sin_e * sin_a, -cos_e, sin_e * cos_a],
        [-cos_e * sin_a, -sin_e, -cos_e * cos_a],
    ])
    if roll == 0.0:
        return upright
    # With y down, this turns what the picture shows clockwise for a positive angle.
    return np.array([[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1.0]]) @ upright


def draw_cameras(rng: np.random.Generator, views: int, size: tuple[int, int], extents: np.ndarray,
                 view_range: ViewRange | None = None) -> list[Camera]:
    """Random cameras around one object.

    Args:
        rng: the only source of randomness; four numbers are drawn per view, so that view i does not depend on how
            many views follow, nor on the limits of the range.
        views: how many.
        size: (h, w) in pixels.
        extents: (3,) sides of the bounding box of the *normalised* object (longest side 1); its diagonal is the
            unit of the distance.
        view_range: what to draw from; 3D-R2N2's by default.

    Raises:
        UserError: the extents are not three finite numbers with a positive diagonal.
    """
    limits = view_range or ViewRange()
    sides = np.asarray(extents, np.float64)
    if sides.shape != (3,) or not np.isfinite(sides).all() or sides.min() < 0 or sides.max() == 0:
        raise UserError(f"extents must be the three sides of a bounding box, not all zero, got {sides.tolist()}")
    diagonal = float(np.linalg.norm(sides))
    low, high = np.array([limits.azimuth, limits.elevation, limits.distance_ratio, limits.in_plane]).T
    cameras = []
    for share in rng.random((views, 4)):
        azimuth, elevation, ratio, roll = low + (high - low) * share
        cameras.append(look_at_origin(azimuth, elevation, limits.max_distance * ratio * diagonal,
                                      focal=limits.focal_ratio * size[1], size=size, in_plane=roll))
    return cameras


def project(points: np.ndarray, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Where points of the object frame appear in the picture.

    Args:
        points: (n, 3).
        camera: the camera.

    Returns:
        pixels (n, 2) as (u, v), NaN for points that are not in front of the camera; depth (n,), camera z.
    """
    homogeneous = np.asarray(points, np.float64) @ camera.matrix[:, :3].T + camera.matrix[:, 3]
    depth = homogeneous[:, 2]
    front = np.where(depth > 0, depth, np.nan)
    return homogeneous[:, :2] / front[:, None], depth


def look_from(directions: np.ndarray, radius: float, resolution: int) -> tuple[np.ndarray, np.ndarray]:
    """Far square cameras around a sphere about the origin, each of which it just fills: nearly orthographic views.

    Args:
        directions: (d, 3) unit vectors from the origin to the cameras.
        radius: of the sphere.
        resolution: pixels per side.

    Returns:
        matrices (d, 3, 4) that map homogeneous object points to (u z, v z, z), and the positions (d, 3).
    """
    distance = 12.0 * radius
    forward = -np.asarray(directions, np.float64)
    # Any axis that is not parallel to the view will do for "down".
    helper = np.eye(3)[np.abs(forward).argmin(axis=1)]
    right = np.cross(helper, forward)
    right /= np.linalg.norm(right, axis=1, keepdims=True)
    rotations = np.stack([right, np.cross(forward, right), forward], axis=1)
    focal = (resolution / 2 - 1) * np.sqrt(distance**2 - radius**2) / radius
    intrinsics = np.array([[focal, 0, resolution / 2], [0, focal, resolution / 2], [0, 0, 1]])
    poses = np.concatenate([rotations, np.tile([[[0.0], [0.0], [distance]]], (len(rotations), 1, 1))], axis=2)
    return intrinsics @ poses, -forward * distance
