"""No network at all: the points themselves are learnt, the same for every sample."""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lit3d.errors import UserError
from lit3d.structures import PointSet

INITS = ("blob", "union")


class FreePoints(nn.Module):
    """Batch -> the one `PointSet` (b, n, d) that is a good answer to all of them: the mean shape of a loss.

    Args:
        points: how many; n.
        dimension: 2 or 3.
        init: blob (normally distributed around the origin), or union: drawn from the members of the family, which
            losses without gradient over large distances need.
        width: standard deviation of the blob in units of the longest side.
        seed: of the blob.

    Raises:
        UserError: a number that cannot be, another word for `init`.
    """

    reads = ()
    predicts = PointSet

    def __init__(
        self, points: int = 200, dimension: int = 3, init: str = "blob", width: float = 0.1, seed: int = 0
    ) -> None:
        super().__init__()
        if not isinstance(points, int) or points < 1:
            raise UserError(f"model.points must be a whole number of at least 1, got {points}")
        if init not in INITS:
            raise UserError(f"model.init must be one of {', '.join(INITS)}, got '{init}'")
        self.init = init
        drawn = torch.randn(points, dimension, generator=torch.Generator().manual_seed(seed))
        self.points = nn.Parameter(width * drawn)

    def begin(self, points: Float[Tensor, "n d"]) -> None:
        """Start from given points."""
        with torch.no_grad():
            self.points.copy_(points)

    def forward(self, batch: Mapping[str, Any]) -> PointSet:
        """The same points for each sample of the batch."""
        return PointSet(self.points.expand(len(batch["points"]), -1, -1))
