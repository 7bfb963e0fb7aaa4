"""Image -> point set."""

from typing import Any

import torch
from torch import Tensor

from lit3d.modules.base import ReconstructionModule
from lit3d.modules.randomness import generator


class PointSetModule(ReconstructionModule):
    """Trains a network that predicts an unordered `PointSet` (Fan, Su, Guibas 2017).

    Where the network reads a random vector, each training sample gets a new one in each step, a function of seed, step
    and rank; evaluation uses the network's fixed ones.
    """

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        """One step on one batch."""
        length = getattr(self.network, "noise", 0)
        if length:
            own = generator(self.config.get("seed", 0), self.global_step, self.global_rank, "noise")
            drawn = torch.randn(len(batch["image"]), length, generator=own)
            batch = batch | {"noise": drawn.to(batch["image"])}
        return super().training_step(batch, batch_idx)
