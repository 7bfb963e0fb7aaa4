"""Residual encoders (He, Zhang, Ren, Sun 2016, Deep Residual Learning), trained from scratch."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from lit3d.errors import UserError
from lit3d.networks.encoders.features import IMAGENET_MEAN, IMAGENET_STD, Features, as_channels_last, standardised

DEPTHS = {18: (False, (2, 2, 2, 2)), 34: (False, (3, 4, 6, 3)), 50: (True, (3, 4, 6, 3)), 101: (True, (3, 4, 23, 3))}
WIDTHS = (64, 128, 256, 512)


class ResidualBlock(nn.Module):
    """relu(x + f(x)); f is two 3 x 3 convolutions, or a bottleneck 1 x 1, 3 x 3, 1 x 1 that widens four times.

    The stride sits in the 3 x 3 convolution (as in common use since the paper, where it sat in the first 1 x 1).
    """

    def __init__(self, before: int, width: int, stride: int, bottleneck: bool) -> None:
        super().__init__()
        after = 4 * width if bottleneck else width
        if bottleneck:
            steps = [conv_norm(before, width, 1, 1), conv_norm(width, width, 3, stride), conv_norm(width, after, 1, 1)]
        else:
            steps = [conv_norm(before, width, 3, stride), conv_norm(width, width, 3, 1)]
        # each block begins as the identity (Goyal et al. 2017, section 5.1)
        nn.init.zeros_(steps[-1][1].weight)  # type: ignore[arg-type]
        self.body = nn.Sequential(*[layer for step in steps for layer in (step, nn.ReLU(inplace=True))][:-1])
        same = before == after and stride == 1
        self.shortcut = nn.Identity() if same else conv_norm(before, after, 1, stride)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d i j"]:
        """One residual step."""
        return self.relu(self.body(x) + self.shortcut(x))


class ResNetEncoder(nn.Module):
    """ResNet trunk; its code is the mean of the last map.

    Args:
        depth: 18, 34, 50 or 101.
        stem: `large`, the paper's 7 x 7 of stride 2 with pooling, for 224 px: maps at 1/4 ... 1/32; `small`, one
            3 x 3 of stride 2: maps at 1/2 ... 1/16, so that 64 px have the 32 x 32 ... 4 x 4 that CIFAR ResNets have.

    Raises:
        UserError: an unknown depth or stem.
    """

    def __init__(self, depth: int = 18, stem: str = "small") -> None:
        super().__init__()
        if depth not in DEPTHS or stem not in ("small", "large"):
            raise UserError(
                f"a ResNet encoder has depth {', '.join(map(str, DEPTHS))} and stem small or large, "
                f"got depth={depth}, stem={stem}"
            )
        bottleneck, counts = DEPTHS[depth]
        first = conv_norm(3, WIDTHS[0], 3, 2) if stem == "small" else conv_norm(3, WIDTHS[0], 7, 2)
        pool = nn.Identity() if stem == "small" else nn.MaxPool2d(3, 2, padding=1)
        self.stem = nn.Sequential(first, nn.ReLU(inplace=True), pool)
        self.levels = nn.ModuleList()
        before = WIDTHS[0]
        for i, (width, count) in enumerate(zip(WIDTHS, counts, strict=True)):
            self.levels.append(stage(before, width, count, 1 if i == 0 else 2, bottleneck))
            before = 4 * width if bottleneck else width
        self.code_size, self.map_channels = before, tuple(w * (4 if bottleneck else 1) for w in WIDTHS)
        as_channels_last(self)

    def forward(self, image: Float[Tensor, "b 3 h w"]) -> Features:
        """Image in [0, 1] -> features."""
        x = self.stem(standardised(image, IMAGENET_MEAN, IMAGENET_STD))
        maps = []
        for part in self.levels:
            x = part(x)
            maps.append(x)
        return Features(x.mean((2, 3)), maps)


def conv_norm(inputs: int, outputs: int, kernel: int, stride: int) -> nn.Sequential:
    """Convolution and batch norm."""
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(conv, nn.BatchNorm2d(outputs))


def stage(before: int, width: int, count: int, stride: int, bottleneck: bool) -> nn.Sequential:
    """`count` residual blocks, the first with the stride."""
    after = 4 * width if bottleneck else width
    inputs: Sequence[int] = [before] + [after] * (count - 1)
    return nn.Sequential(*[ResidualBlock(c, width, stride if i == 0 else 1, bottleneck) for i, c in enumerate(inputs)])
