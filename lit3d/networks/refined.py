"""A point set whose points look where they are seen: perceptual feature pooling before a last correction."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from lit3d.networks.encoders import Features
from lit3d.networks.heads import FullyConnectedHead


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


class RefinedHead(nn.Module):
    """The fully connected head's points, each moved once by what the image shows where the point is seen.

    The code alone must hold every detail of a shape; here a point finds it in the encoder's fine maps, as the vertices
    of Pixel2Mesh do. Heads know no camera, and its distance differs from image to image: the code predicts an affine
    one, which begins as the viewer frame's (the longest side covers half the image). With data.frame=object it has
    to be learnt from there.

    Args:
        points: n.
        code_size: length of the encoder's code.
        map_channels: channels of its maps, fine to coarse.
        hidden: widths of the fully connected head's hidden layers.
        maps: how many of the encoder's maps are read, from the finest on; they are added at the size of the finest, so
            that pooling is done once.
        channels: of the sum, and of the layers that a point's correction is made of.
    """

    def __init__(
        self,
        points: int,
        code_size: int,
        map_channels: Sequence[int],
        hidden: Sequence[int] = (1024,),
        maps: int = 3,
        channels: int = 64,
    ) -> None:
        super().__init__()
        self.first = FullyConnectedHead(points, code_size, hidden=hidden)
        self.layout = self.first.layout
        self.reduce = nn.ModuleList(nn.Conv2d(c, channels, 1) for c in map_channels[:maps])
        self.camera = nn.Linear(code_size, 8)
        self.from_code = nn.Linear(code_size, channels)
        self.from_point = nn.Linear(3, channels)
        self.middle, self.move = nn.Linear(channels, channels), nn.Linear(channels, 3)
        with torch.no_grad():
            self.camera.weight.zero_()
            self.camera.bias.copy_(torch.eye(2, 4).flatten())
            self.move.weight.mul_(0.1)  # begin with the first head's points
            self.move.bias.zero_()
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, features: Features) -> Float[Tensor, "b n 3"]:
        """Features -> points."""
        points = self.first(features)
        pooled = perceptual_pooling([self.summed(features.maps)], self.seen_at(points, features.code))
        x = pooled + self.from_point(points) + self.from_code(features.code)[:, None]
        x = functional.relu(self.middle(functional.relu(x)))
        with torch.autocast(x.device.type, enabled=False):  # coordinates need more than bfloat16's 8 bits
            return points + self.move(x.float())

    def summed(self, maps: Sequence[Tensor]) -> Float[Tensor, "b c h w"]:
        """The maps that are read as one, as fine as the finest."""
        fine, *coarse = (reduce(m) for reduce, m in zip(self.reduce, maps, strict=False))
        for m in coarse:
            fine = fine + functional.interpolate(m, fine.shape[-2:], mode="bilinear", align_corners=False)
        return fine

    def seen_at(self, points: Float[Tensor, "b n 3"], code: Float[Tensor, "b c"]) -> Float[Tensor, "b n 2"]:
        """Where the code's camera sees points, in the units of `perceptual_pooling`."""
        with torch.autocast(points.device.type, enabled=False):
            camera = self.camera(code.float()).unflatten(1, (2, 4))
            return points @ camera[..., :3].transpose(1, 2) + camera[..., 3][:, None]
