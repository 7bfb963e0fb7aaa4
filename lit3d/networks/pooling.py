"""What an image shows where places are seen: perceptual feature pooling, and the camera that it takes."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional


def perceptual_pooling(maps: Sequence[Tensor], where: Float[Tensor, "b n 2"]) -> Float[Tensor, "b n c"]:
    """Features of an image at points of it, bilinear, from maps of any resolution (Wang et al. 2018).

    Args:
        maps: (b, c_i, h_i, w_i) each; c is the sum of the c_i.
        where: (x, y) with the image's left, top edge at -1 and its right, bottom edge at 1. Pixel centres lie half a
            pixel inside; beyond the outermost centres the border's value holds.
    """
    grid = where.float()[:, None]
    found = [
        functional.grid_sample(m.float(), grid, mode="bilinear", padding_mode="border", align_corners=False)[:, :, 0]
        for m in maps
    ]
    return torch.cat(found, dim=1).transpose(1, 2)


def seen_by(camera: Float[Tensor, "b 2 4"], places: Float[Tensor, "b n 3"]) -> Float[Tensor, "b n 2"]:
    """Where affine cameras see places, in the units of `perceptual_pooling`."""
    with torch.autocast(places.device.type, enabled=False):
        return places.float() @ camera[..., :3].transpose(1, 2) + camera[:, None, :, 3]


class SummedMaps(nn.Module):
    """An encoder's maps as one: each brought to the same channels by a matrix, added at the size of the finest.

    Pooling from the sum and a matrix after pooling from each map, as Pixel2Mesh concatenates them, are the same up to
    how coarse maps are interpolated: a matrix commutes with bilinear interpolation. But it is done once.

    Args:
        map_channels: channels of the maps, fine to coarse.
        maps: how many of them are read, from the finest on.
        channels: of the sum.
    """

    def __init__(self, map_channels: Sequence[int], maps: int, channels: int) -> None:
        super().__init__()
        self.reduce = nn.ModuleList(nn.Conv2d(c, channels, 1) for c in map_channels[:maps])
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def summed(self, maps: Sequence[Tensor]) -> Float[Tensor, "b c h w"]:
        """The maps that are read, added."""
        fine, *coarse = (reduce(m) for reduce, m in zip(self.reduce, maps, strict=False))
        for m in coarse:
            fine = fine + functional.interpolate(m, fine.shape[-2:], mode="bilinear", align_corners=False)
        return fine


class ImagePooling(SummedMaps):
    """An encoder's maps as one, and the camera through which places find their features in it.

    A camera's distance differs from image to image and nothing tells it: the code predicts an affine camera, which
    begins as the viewer frame's (the longest side covers half the image). With data.frame=object it has to be learnt
    from there.

    Args:
        code_size: length of the encoder's code.
        map_channels: channels of its maps, fine to coarse.
        maps: how many of them are read, see `SummedMaps`.
        channels: of the sum.
    """

    def __init__(self, code_size: int, map_channels: Sequence[int], maps: int, channels: int) -> None:
        super().__init__(map_channels, maps, channels)
        self.camera = nn.Linear(code_size, 8)
        with torch.no_grad():
            self.camera.weight.zero_()
            self.camera.bias.copy_(torch.eye(2, 4).flatten())

    def camera_of(self, code: Float[Tensor, "b c"]) -> Float[Tensor, "b 2 4"]:
        """The camera that a code predicts."""
        with torch.autocast(code.device.type, enabled=False):  # coordinates need more than bfloat16's 8 bits
            return self.camera(code.float()).unflatten(1, (2, 4))
