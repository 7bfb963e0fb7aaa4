"""An exponential moving average of the weights: what is validated, kept as best and tested."""

from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import WeightAveraging
from torch import Tensor

from lit3d.errors import UserError


class AveragedWeights(WeightAveraging):
    """Lightning's `WeightAveraging` with a decay that rises, and averaged weights until the end of a validation.

    After update t the decay is min(decay, (1 + t) / (10 + t)), as TensorFlow's ExponentialMovingAverage has it with
    `num_updates`: a constant 0.999 would still hold half of the random first weights after 700 steps. Batch statistics
    are averaged, too. Validation, its pictures, best.ckpt and the test use the average; last.ckpt holds both, so that a
    resumed run goes on with both (once the last step is done, the average alone is left). In the config this callback
    stands behind those that look at validations.

    Args:
        decay: share of the old average in the new one, in [0, 1).

    Raises:
        UserError: the decay is not in [0, 1).
    """

    def __init__(self, decay: float = 0.999) -> None:
        if not 0 <= decay < 1:
            raise UserError(f"callbacks.average.decay must be at least 0 and below 1, got {decay}")

        def averaged(average: Tensor, current: Tensor, updates: Tensor | int) -> Tensor:
            if not average.is_floating_point():  # counts of batches
                return current
            return torch.lerp(average, current, 1 - min(decay, (1 + float(updates)) / (10 + float(updates))))

        super().__init__(avg_fn=averaged)

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Not yet: pictures are drawn after this."""

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Back to the weights that are trained; checkpoints are written after this, and take the average themselves."""
        super().on_validation_epoch_end(trainer, pl_module)


def averages(saved: dict[str, Any]) -> bool:
    """Whether a checkpoint was written with `AveragedWeights`."""
    return "averaging_state" in saved
