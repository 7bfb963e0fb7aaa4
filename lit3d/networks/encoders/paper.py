"""The encoder of the Point Set Generation Network (Fan, Su, Guibas 2017, section 4.2)."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from lit3d.errors import UserError
from lit3d.networks.encoders.features import Features, as_channels_last, code_layers, sides, standardised

# (channels, kernel of the first convolution, number of convolutions); each level but the first begins with stride 2.
LEVELS = ((16, 3, 2), (32, 3, 3), (64, 3, 3), (128, 3, 3), (256, 5, 3), (512, 5, 4), (512, 5, 1))


class PaperEncoder(nn.Module):
    """The published encoder: 16 channels at full resolution, doubled at each halving, no batch norm, a code of 2,048.

    As its authors released it, but for the input: RGB alone, without a fourth channel for the background. The paper's
    images are 192 x 256, which end as 3 x 4; any size whose sides are multiples of 64 will do.

    Args:
        code: length of the code vector, which ties the encoder to one size of images; 0: the mean of the last map is
            the code, and images may have any size.
        image_size: (h, w) or one number for both.

    Raises:
        UserError: a side is no multiple of 64, and there is a code.
    """

    def __init__(self, code: int = 2048, image_size: int | Sequence[int] = (192, 256)) -> None:
        super().__init__()
        height, width = sides(image_size)
        if code and (height < 64 or width < 64 or height % 64 or width % 64):
            raise UserError(
                f"the paper's encoder halves the image six times, so each side must be a multiple of 64 (192 x 256 "
                f"in the paper), but images are {height} x {width}: set data.synthesis.image_size=192 "
                "or take model/encoder=small"
            )
        self.levels = nn.ModuleList()
        before = 3
        for i, (channels, kernel, count) in enumerate(LEVELS):
            self.levels.append(level(before, channels, kernel, count, stride=2 if i else 1))
            before = channels
        self.to_code = code_layers(before * (height // 64) * (width // 64), code)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):  # without batch norm, torch's default lets 19 layers fade to nothing
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]
        self.code_size, self.map_channels = code or before, tuple(channels for channels, *_ in LEVELS)
        as_channels_last(self)

    def forward(self, image: Float[Tensor, "b 3 h w"]) -> Features:
        """Image in [0, 1] -> features; the first map has the image's resolution."""
        x = standardised(image)
        maps = []
        for part in self.levels:
            x = part(x)
            maps.append(x)
        return Features(self.to_code(x), maps)


def level(before: int, channels: int, kernel: int, count: int, stride: int) -> nn.Sequential:
    """`count` convolutions with ReLU, the first with a stride."""
    layers: list[nn.Module] = []
    for i in range(count):
        size = kernel if i == 0 else 3
        layers += [nn.Conv2d(before, channels, size, stride if i == 0 else 1, size // 2), nn.ReLU(inplace=True)]
        before = channels
    return nn.Sequential(*layers)
