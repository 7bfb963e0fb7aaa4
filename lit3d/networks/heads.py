"""Heads of the Point Set Generation Network (Fan, Su, Guibas 2017, sections 4.2 and 5.5): `Features` -> n points.

Every head serves any n, and says in `layout` which branch draws a point and where it lies on the branch's grid.
"""

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from lit3d.networks.encoders import Features, conv_block

FULLY_CONNECTED, UPCONVOLUTION = 0, 1  # branches


class Layout(NamedTuple):
    """Where each predicted point comes from; the same for all images."""

    branch: Int[Tensor, " n"]  # FULLY_CONNECTED or UPCONVOLUTION
    uv: Float[Tensor, "n 2"]  # (column, row) of its cell in [0, 1]; NaN for points without a grid


class FullyConnectedHead(nn.Module):
    """The paper's first version: fully connected layers from the code to n x 3 coordinates (section 4.2).

    Args:
        points: n.
        code_size: length of the encoder's code.
        map_channels: not read: this head sees the code only.
        hidden: widths of the hidden layers.
    """

    def __init__(
        self, points: int, code_size: int, map_channels: Sequence[int] = (), hidden: Sequence[int] = (1024,)
    ) -> None:
        super().__init__()
        self.layout = Layout(torch.zeros(points, dtype=torch.long), torch.full((points, 2), torch.nan))
        layers: list[nn.Module] = []
        before = code_size
        for width in hidden:
            layers += [nn.Linear(before, width), nn.ReLU(inplace=True)]
            before = width
        last = nn.Linear(before, points * 3)
        with torch.no_grad():  # begin as a ball half as wide as the object, not as one clump of points
            direction = nn.functional.normalize(torch.randn(points, 3), dim=1)
            last.bias.copy_((0.25 * direction * torch.rand(points, 1) ** (1 / 3)).flatten())
        self.layers, self.to_points = nn.Sequential(*layers), last

    def forward(self, features: Features) -> Float[Tensor, "b n 3"]:
        """Features -> points."""
        hidden = self.layers(features.code)
        with torch.autocast(hidden.device.type, enabled=False):  # coordinates need more than bfloat16's 8 bits
            return self.to_points(hidden.float()).unflatten(1, (-1, 3))


class Decoder(nn.Module):
    """Maps and code of an encoder -> one map as fine as one of the encoder's, with skip connections.

    Each level doubles the resolution (nearest neighbour, then a 3 x 3 convolution: a transposed one leaves a
    checkerboard, which would tear the surface) and adds the encoder's map of that size.

    Args:
        code_size: length of the code.
        map_channels: channels of the encoder's maps, fine to coarse.
        levels: how many times the resolution doubles; at most one less than there are maps.
    """

    def __init__(self, code_size: int, map_channels: Sequence[int], levels: int = 3) -> None:
        super().__init__()
        self.levels = min(levels, len(map_channels) - 1)
        widths = list(reversed(map_channels))[: self.levels + 1]
        self.from_code = nn.Linear(code_size, widths[0])
        self.rise = nn.ModuleList(conv_block(a, b, 1) for a, b in itertools.pairwise(widths))
        self.skip = nn.ModuleList(nn.Conv2d(b, b, 1) for b in widths[1:])
        self.channels = widths[-1]
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, features: Features) -> list[Tensor]:
        """Features -> maps of all levels, coarse to fine."""
        coarse_to_fine = features.maps[::-1]
        x = functional.relu(coarse_to_fine[0] + self.from_code(features.code)[..., None, None])
        found = [x]
        for rise, skip, before in zip(self.rise, self.skip, coarse_to_fine[1:], strict=False):
            x = functional.relu(rise(functional.interpolate(x, before.shape[-2:])) + skip(before))
            found.append(x)
        return found


def grid_of(points: int) -> tuple[int, int]:
    """Rows and columns of a grid for n points: exactly n cells and sides within 1 : 2 if possible, else a few more."""
    side = math.isqrt(points)
    for rows in range(side, 0, -1):
        if points % rows == 0 and points <= 2 * rows * rows:
            return rows, points // rows
    return max(1, side), -(-points // max(1, side))


class UpconvolutionHead(nn.Module):
    """The upconvolution branch: an image of coordinates, every pixel a point, so a parameterisation of a surface.

    The grid has n cells (24 x 32 for 768, as in the paper); where n has no such divisors, it is nearly square and has a
    few more, of which n are taken, evenly spread. It begins as a flat sheet across the object.

    Args:
        points: n.
        code_size: length of the encoder's code.
        map_channels: channels of its maps, fine to coarse.
        levels: see `Decoder`.
        hidden: widths of fully connected layers between the code and the decoder (one of 2,048 in the released code).
    """

    cells: Tensor
    sheet: Tensor

    def __init__(
        self,
        points: int,
        code_size: int,
        map_channels: Sequence[int],
        levels: int = 3,
        hidden: Sequence[int] = (),
    ) -> None:
        super().__init__()
        self.grid = rows, columns = grid_of(points)
        cells = torch.arange(points) * (rows * columns) // points
        column, row = (cells % columns + 0.5) / columns, (cells // columns + 0.5) / rows
        uv = torch.stack([column, row], dim=1)
        self.layout = Layout(torch.full((points,), UPCONVOLUTION), uv)
        self.register_buffer("cells", cells, persistent=False)
        self.register_buffer("sheet", functional.pad(uv - 0.5, (0, 1)), persistent=False)
        widths = (code_size, *hidden)
        self.bottleneck = nn.Sequential(
            *(layer for a, b in itertools.pairwise(widths) for layer in (nn.Linear(a, b), nn.ReLU(inplace=True)))
        )
        self.decoder = Decoder(widths[-1], map_channels, levels)
        width = self.decoder.channels
        self.smooth = conv_block(width, width, 1)
        self.to_points = nn.Conv2d(width, 3, 3, padding=1)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, features: Features) -> Float[Tensor, "b n 3"]:
        """Features -> points."""
        x = self.decoder(Features(self.bottleneck(features.code), features.maps))[-1]
        if x.shape[-2:] != self.grid:
            x = functional.interpolate(x, self.grid, mode="bilinear", align_corners=False)
        x = self.smooth(x)
        with torch.autocast(x.device.type, enabled=False):  # coordinates need more than bfloat16's 8 bits
            moved = self.to_points(x.float()).flatten(2).transpose(1, 2)
        return self.sheet + moved[:, self.cells]


class TwoBranchHead(nn.Module):
    """The union of a fully connected and an upconvolution branch (256 + 768 of 1,024 points in the paper).

    Args:
        points: n.
        code_size: length of the encoder's code.
        map_channels: channels of its maps, fine to coarse.
        share: of the fully connected branch; it has at least one point.
        hidden: widths of its hidden layers.
        levels: see `Decoder`.
    """

    def __init__(
        self,
        points: int,
        code_size: int,
        map_channels: Sequence[int],
        share: float = 0.25,
        hidden: Sequence[int] = (1024,),
        levels: int = 3,
    ) -> None:
        super().__init__()
        loose = min(points, max(1, round(share * points)))
        self.branches = nn.ModuleList([FullyConnectedHead(loose, code_size, hidden=hidden)])
        if points > loose:
            self.branches.append(UpconvolutionHead(points - loose, code_size, map_channels, levels))
        layouts: list[Layout] = [branch.layout for branch in self.branches]  # type: ignore[misc]
        self.layout = Layout(torch.cat([p.branch for p in layouts]), torch.cat([p.uv for p in layouts]))

    def forward(self, features: Features) -> Float[Tensor, "b n 3"]:
        """Features -> points, fully connected ones first."""
        return torch.cat([branch(features) for branch in self.branches], dim=1)


class Fall(nn.ModuleList):
    """3 x 3 convolution, batch norm, ReLU; its stride is whatever leads from one map's size to the next one's.

    That is 2 for most encoders, 1 between the maps of a transformer, which all have one size.

    Args:
        inputs: channels.
        outputs: channels.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(conv_block(inputs, outputs, 2).children())

    def forward(self, x: Float[Tensor, "b c i j"], size: Sequence[int]) -> Float[Tensor, "b d k l"]:
        """Map -> map of `size` (h, w), which is no larger; what a stride leaves over is cut at the right and below."""
        convolution, norm, relu = self
        stride = [max(1, have // want) for have, want in zip(x.shape[-2:], size, strict=True)]
        x = functional.conv2d(x, convolution.weight, None, stride, padding=1)  # type: ignore[arg-type]
        return relu(norm(x[..., : size[0], : size[1]]))


class Hourglass(nn.Module):
    """Decodes features to their finest map and encodes them again: each place has then seen the whole image.

    Args:
        code_size: length of the code, kept.
        map_channels: channels of the maps, kept.
    """

    def __init__(self, code_size: int, map_channels: Sequence[int]) -> None:
        super().__init__()
        self.decoder = Decoder(code_size, map_channels, len(map_channels) - 1)
        self.fall = nn.ModuleList(Fall(a, b) for a, b in itertools.pairwise(map_channels))
        self.to_code = nn.Linear(map_channels[-1], code_size)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, features: Features) -> Features:
        """Features -> features of the same shapes."""
        fine_to_coarse = self.decoder(features)[::-1]
        maps = [fine_to_coarse[0]]
        for fall, before in zip(self.fall, fine_to_coarse[1:], strict=True):
            maps.append(fall(maps[-1], before.shape[-2:]) + before)
        return Features(functional.relu(features.code + self.to_code(maps[-1].mean((2, 3)))), maps)


class HourglassHead(nn.Module):
    """The paper's third version: hourglasses before two branches.

    Args:
        points: n.
        code_size: length of the encoder's code.
        map_channels: channels of its maps, fine to coarse.
        repeats: how many hourglasses, at least one.
        share: see `TwoBranchHead`.
        hidden: see `TwoBranchHead`.
    """

    def __init__(
        self,
        points: int,
        code_size: int,
        map_channels: Sequence[int],
        repeats: int = 1,
        share: float = 0.25,
        hidden: Sequence[int] = (1024,),
    ) -> None:
        super().__init__()
        self.refine = nn.Sequential(*(Hourglass(code_size, map_channels) for _ in range(repeats)))
        self.branches = TwoBranchHead(points, code_size, map_channels, share, hidden)
        self.layout = self.branches.layout

    def forward(self, features: Features) -> Float[Tensor, "b n 3"]:
        """Features -> points, fully connected ones first."""
        return self.branches(self.refine(features))
