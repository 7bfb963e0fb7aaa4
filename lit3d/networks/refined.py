"""A point set whose points look where they are seen: perceptual feature pooling before a last correction."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from lit3d.networks.encoders import Features
from lit3d.networks.heads import FullyConnectedHead
from lit3d.networks.pooling import ImagePooling, perceptual_pooling, seen_by


class RefinedHead(ImagePooling):
    """The fully connected head's points, each moved once by what the image shows where the point is seen.

    The code alone must hold every detail of a shape; here a point finds it in the encoder's fine maps, as the vertices
    of Pixel2Mesh do, through the camera of `ImagePooling`.

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
        super().__init__(code_size, map_channels, maps, channels)
        self.first = FullyConnectedHead(points, code_size, hidden=hidden)
        self.layout = self.first.layout
        self.from_code = nn.Linear(code_size, channels)
        self.from_point = nn.Linear(3, channels)
        self.middle, self.move = nn.Linear(channels, channels), nn.Linear(channels, 3)
        with torch.no_grad():
            self.move.weight.mul_(0.1)  # begin with the first head's points
            self.move.bias.zero_()

    def forward(self, features: Features) -> Float[Tensor, "b n 3"]:
        """Features -> points."""
        points = self.first(features)
        where = seen_by(self.camera_of(features.code), points)
        pooled = perceptual_pooling([self.summed(features.maps)], where)
        x = pooled + self.from_point(points) + self.from_code(features.code)[:, None]
        x = functional.relu(self.middle(functional.relu(x)))
        with torch.autocast(x.device.type, enabled=False):  # coordinates need more than bfloat16's 8 bits
            return points + self.move(x.float())
