"""Image -> unordered point set (Fan, Su, Guibas 2017, Point Set Generation Network)."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lit3d.errors import UserError
from lit3d.networks.encoders import Features
from lit3d.structures import PointSet


class FullyConnectedHead(nn.Module):
    """The paper's first version: fully connected layers from the code to n x 3 coordinates (section 4.2).

    Args:
        points: n.
        code_size: length of the encoder's code.
        hidden: widths of the hidden layers.
    """

    def __init__(self, points: int, code_size: int, hidden: Sequence[int] = (1024,)) -> None:
        super().__init__()
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


class PointSetNet(nn.Module):
    """Encoder and head: reads `image`, predicts a `PointSet`.

    Args:
        encoder: image -> `Features`.
        head: a function (points, code_size) -> module that maps `Features` to (b, n, 3).
        points: n, at least 1.

    Raises:
        UserError: n < 1.
    """

    reads: ClassVar[tuple[str, ...]] = ("image",)
    predicts: ClassVar[type[PointSet]] = PointSet

    def __init__(self, encoder: nn.Module, head: Any, points: int = 1024) -> None:
        super().__init__()
        if points < 1:
            raise UserError(f"model.points must be at least 1, got {points}")
        self.encoder = encoder
        self.head = head(points=points, code_size=encoder.code_size)

    def forward(self, batch: Mapping[str, Any]) -> PointSet:
        """Batch with `image` (b, 3, h, w) in [0, 1] -> points (b, n, 3) in the target frame."""
        return PointSet(self.head(self.encoder(batch["image"])))
