"""The default encoder, for small images."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from lit3d.errors import UserError
from lit3d.networks.encoders.features import Features, as_channels_last, code_layers, conv_block, sides, standardised


class SmallEncoder(nn.Module):
    """A plain convolutional encoder for small images: two 3 x 3 convolutions a level, each level half the resolution.

    Args:
        channels: output channels of the levels; the first level already works at half the image's resolution.
        code: length of the code vector, which ties the encoder to one size of images; 0: the mean of the last map is
            the code, and images may have any size.
        image_size: (h, w) or one number for both; with a code each side must be divisible by 2 ** len(channels).

    Raises:
        UserError: the image size does not divide.
    """

    def __init__(
        self, channels: Sequence[int] = (32, 64, 128, 256), code: int = 512, image_size: int | Sequence[int] = 64
    ) -> None:
        super().__init__()
        height, width = sides(image_size)
        step = 2 ** len(channels)
        if code and (height < step or width < step or height % step or width % step):
            raise UserError(
                f"the small encoder halves the image {len(channels)} times, so each side must be a multiple of {step}, "
                f"but images are {height} x {width}: choose another size or other model.encoder.channels"
            )
        self.levels = nn.ModuleList()
        before = 3
        for c in channels:
            self.levels.append(nn.Sequential(conv_block(before, c, 2), conv_block(c, c, 1)))
            before = c
        self.to_code = code_layers(before * (height // step) * (width // step), code)
        self.code_size, self.map_channels = code or before, tuple(channels)
        as_channels_last(self)

    def forward(self, image: Float[Tensor, "b 3 h w"]) -> Features:
        """Image in [0, 1] -> features."""
        x = standardised(image)
        maps = []
        for level in self.levels:
            x = level(x)
            maps.append(x)
        return Features(self.to_code(x), maps)
