"""Image -> unordered point set (Fan, Su, Guibas 2017, Point Set Generation Network)."""

from collections.abc import Mapping
from typing import Any, ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from lit3d.errors import UserError
from lit3d.structures import PointSet


class PointSetNet(nn.Module):
    """Encoder and head: reads `image`, predicts a `PointSet`.

    Args:
        encoder: image -> `Features`.
        head: a function (points, code_size, map_channels) -> module that maps `Features` to (b, n, 3); see `heads`.
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
        self.head = head(points=points, code_size=encoder.code_size, map_channels=encoder.map_channels)

    def forward(self, batch: Mapping[str, Any]) -> PointSet:
        """Batch with `image` (b, 3, h, w) in [0, 1] -> points (b, n, 3) in the target frame."""
        return PointSet(self.head(self.encoder(batch["image"])))

    def code(self, batch: Mapping[str, Any]) -> Float[Tensor, "b c"]:
        """What the encoder makes of each image: retrieval by features compares these."""
        return self.encoder(batch["image"]).code
