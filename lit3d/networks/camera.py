"""The camera of an image in networks: assumed, or read from the batch and then known to all of them alike."""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lit3d import ops
from lit3d.errors import UserError
from lit3d.networks.encoders import Features

CAMERAS = ("nominal", "known")
LENGTH = 16  # numbers of a known camera: 4 of the lens, 9 of the rotation, 3 of the translation
NEAR = 0.05  # depth that nearer points and those behind the camera are projected with, in longest sides
OUTSIDE = 2.0  # how far a place goes beyond the image, whose edges are at -1 and 1
R2N2_FOCAL, R2N2_DISTANCE = 35 / 32, 2.0  # of the image's width; in longest sides, about the mean over shapes


def reads_with(camera: str) -> tuple[str, ...]:
    """The keys that an image network reads with data.camera=nominal or known.

    Raises:
        UserError: another word.
    """
    if camera not in CAMERAS:
        raise UserError(f"data.camera must be one of {' or '.join(CAMERAS)}, got '{camera}'")
    return ("image", "intrinsics", "pose") if camera == "known" else ("image",)


def code_size(encoder: nn.Module, camera: str) -> int:
    """Length of the code that `encode` gives."""
    return encoder.code_size + (LENGTH if "pose" in reads_with(camera) else 0)  # type: ignore[operator,return-value]


def encode(encoder: nn.Module, batch: Mapping[str, Any], camera: str) -> Features:
    """What an encoder makes of the images; a known camera is appended to the code.

    Every network that reads images passes here, so that none knows more of the camera than the others.

    Raises:
        UserError: the camera is to be known, but the batch has none.
    """
    features: Features = encoder(batch["image"])
    if camera == "nominal":
        return features
    vector = camera_vector(*known_camera(batch), size=batch["image"].shape[-2:])
    return features._replace(code=torch.cat([features.code, vector.to(features.code.dtype)], dim=1))


def known_camera(batch: Mapping[str, Any]) -> tuple[Float[Tensor, "b 3 3"], Float[Tensor, "b 4 4"]]:
    """Intrinsics and pose of a batch.

    Raises:
        UserError: it lacks one of them.
    """
    if absent := [key for key in ("intrinsics", "pose") if key not in batch]:
        raise UserError(
            f"data.camera=known needs the camera of each image, but this data has no {' and no '.join(absent)}: "
            "set data.camera=nominal"
        )
    return batch["intrinsics"], batch["pose"]


def camera_vector(
    intrinsics: Float[Tensor, "b 3 3"], pose: Float[Tensor, "b 4 4"], size: tuple[int, int]
) -> Float[Tensor, "b 16"]:
    """A camera as numbers near one: focal lengths and principal point in parts of the image's sides, the pose.

    Args:
        intrinsics: in pixels.
        pose: target frame -> camera, in longest sides.
        size: (h, w) of the image in pixels.
    """
    sides = intrinsics.new_tensor([size[1], size[0]])
    focal = torch.stack([intrinsics[:, 0, 0], intrinsics[:, 1, 1]], 1) / sides
    centre = intrinsics[:, :2, 2] / sides - 0.5
    return torch.cat([focal, centre, pose[:, :3, :3].flatten(1), pose[:, :3, 3]], dim=1)


def seen_at(
    points: Float[Tensor, "b n 3"],
    intrinsics: Float[Tensor, "b 3 3"],
    pose: Float[Tensor, "b 4 4"],
    size: tuple[int, int],
) -> Float[Tensor, "b n 2"]:
    """Where a camera sees points: (x, y) with the image's left, top edge at -1 and its right, bottom edge at 1.

    Always finite for finite points: those nearer than `NEAR`, or behind the camera, are projected as if at `NEAR`, and
    what lies far outside is drawn in to `OUTSIDE`; neither place has a gradient. In float32 also under autocast.
    """
    with torch.autocast(points.device.type, enabled=False):
        x, y, z = ops.to_camera(points.float(), pose.float()).unbind(-1)
        image = torch.stack([x, y, z.clamp_min(NEAR)], -1) @ intrinsics.float().transpose(1, 2)
        pixels = image[..., :2] / image[..., 2:]
        return (2 * pixels / pixels.new_tensor([size[1], size[0]]) - 1).clamp(-OUTSIDE, OUTSIDE)


class NominalCamera(nn.Module):
    """The camera that a network assumes of every image: it travels with the weights.

    Training gives it with `use` what `data.nominal_camera()` read off the training views; until then it has 3D-R2N2's
    lens and distance.

    Args:
        image_size: side of the images in pixels.
    """

    intrinsics: Tensor
    pose: Tensor

    def __init__(self, image_size: int) -> None:
        super().__init__()
        focal, middle = R2N2_FOCAL * image_size, image_size / 2
        pose = torch.eye(4)
        pose[2, 3] = R2N2_DISTANCE
        self.register_buffer("intrinsics", torch.tensor([[focal, 0, middle], [0, focal, middle], [0, 0, 1]]))
        self.register_buffer("pose", pose)

    def use(self, camera: Mapping[str, Any]) -> None:
        """Assume another one: `intrinsics` (3, 3) in pixels of the delivered image, `pose` (4, 4), `distance`.

        Raises:
            UserError: the dataset knows no camera.
        """
        if absent := [key for key in ("intrinsics", "pose", "distance") if camera.get(key) is None]:
            raise UserError(
                f"this model looks vertices up in the image, but the data's camera has no {' and no '.join(absent)}: "
                "use a dataset with cameras, or a model that needs none, such as model=pointset"
            )
        pose = torch.as_tensor(camera["pose"], dtype=torch.float64).clone()
        pose[2, 3] = camera["distance"]
        self.intrinsics.copy_(torch.as_tensor(camera["intrinsics"]))
        self.pose.copy_(pose)

    def forward(self, count: int) -> tuple[Float[Tensor, "b 3 3"], Float[Tensor, "b 4 4"]]:
        """Intrinsics and pose for `count` images."""
        return self.intrinsics.expand(count, -1, -1), self.pose.expand(count, -1, -1)
