"""Image -> point set."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from lit3d.modules.base import ReconstructionModule
from lit3d.modules.randomness import generator
from lit3d.networks.pointset import fixed_noise, in_pairs
from lit3d.structures import Structure


class PointSetModule(ReconstructionModule):
    """Trains a network that predicts an unordered `PointSet` (Fan, Su, Guibas 2017).

    Where the network reads a random vector, each training sample gets a new one in each step, a function of seed, step
    and rank; with model.hypotheses above 1 it gets so many, `in_pairs`, and the best answer alone is trained (MoN, Fan
    et al. 2017, equation 3, where they are independent). Evaluation uses the
    network's fixed ones: as many as training drew in validation, metrics.answers in the test.
    """

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        """One step on one batch."""
        length, k = getattr(self.network, "noise", 0), getattr(self.network, "drawn", 1)
        if length:
            own = generator(self.config.get("seed", 0), self.global_step, self.global_rank, "noise")
            shape = (length,) if k == 1 else ((k + 1) // 2, length)
            drawn = torch.randn(len(batch["image"]), *shape, generator=own)
            batch = batch | {"noise": (drawn if k == 1 else in_pairs(drawn, k)).to(batch["image"])}
        return super().training_step(batch, batch_idx)

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """Scores of the first answer, and the loss of the best of as many as training draws."""
        k = getattr(self.network, "drawn", 1)
        super().validation_step(self._asked(batch, k) if k > 1 else batch, batch_idx)

    def answers(self, batch: Mapping[str, Any], count: int) -> Structure:
        """The prediction with `count` hypotheses, where the network can give several."""
        several = count > 1 and bool(getattr(self.network, "noise", 0))
        return self(self._asked(batch, count) if several else batch)

    def _asked(self, batch: Mapping[str, Any], count: int) -> dict[str, Any]:
        noise = fixed_noise(count, self.network.noise).to(batch["image"])  # type: ignore[arg-type]
        return dict(batch) | {"noise": noise.expand(len(batch["image"]), -1, -1)}
