"""Pinhole projection in the house convention: camera x right, y down, z forward; pixel centres at +0.5."""

from jaxtyping import Float
from torch import Tensor


def to_camera(points: Float[Tensor, "b n 3"], pose: Float[Tensor, "b 4 4"]) -> Float[Tensor, "b n 3"]:
    """Points of the target frame in camera coordinates; `pose` maps the one to the other."""
    return points @ pose[:, :3, :3].transpose(1, 2) + pose[:, None, :3, 3]


def to_target(points: Float[Tensor, "b n 3"], pose: Float[Tensor, "b 4 4"]) -> Float[Tensor, "b n 3"]:
    """Points in camera coordinates in the target frame: the inverse of `to_camera`, `pose` being rigid."""
    return (points - pose[:, None, :3, 3]) @ pose[:, :3, :3]


def project(
    points: Float[Tensor, "b n 3"], intrinsics: Float[Tensor, "b 3 3"], pose: Float[Tensor, "b 4 4"]
) -> tuple[Float[Tensor, "b n 2"], Float[Tensor, "b n"]]:
    """Pixel position (x right, y down) and depth (camera z) of points in the target frame."""
    camera = to_camera(points, pose)
    image = camera @ intrinsics.transpose(1, 2)
    return image[..., :2] / image[..., 2:], camera[..., 2]
