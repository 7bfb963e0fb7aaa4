"""The one training loop: every representation shares these steps and differs in its network and its losses."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from lit3d import __version__
from lit3d.losses import Term, of_best
from lit3d.metrics import ScoreTable, SetMetrics
from lit3d.structures import Structure

CHECKPOINT_FORMAT = 1


class ReconstructionModule(pl.LightningModule):
    """Trains a network that maps a batch to a structure.

    Args:
        network: `forward(batch) -> Structure`, with `reads` and `predicts`.
        terms: loss terms; their weighted batch means are summed.
        metrics: scores predictions against a batch, one number a sample.
        optimizer: parameters -> optimizer.
        scheduler: (optimizer, total_steps=) -> learning-rate scheduler stepped every step, or None.
    """

    def __init__(
        self,
        network: nn.Module,
        terms: Sequence[Term],
        metrics: SetMetrics,
        optimizer: Callable[..., torch.optim.Optimizer],
        scheduler: Callable[..., Any] | None = None,
    ) -> None:
        super().__init__()
        self.network, self.terms, self.metrics = network, list(terms), metrics
        self.optimizer, self.scheduler = optimizer, scheduler
        self.validation_scores = ScoreTable()
        self.config: dict[str, Any] = {}
        self.trained_steps = 0  # of a checkpoint that was loaded

    @property
    def reads(self) -> tuple[str, ...]:
        """Keys of a batch that a prediction takes: what the network's weights read, and what goes through as it is."""
        return (*self.network.reads, *getattr(self.network, "carries", ()))  # type: ignore[misc]

    @property
    def scored(self) -> tuple[str, ...]:
        """Keys of a batch that scores are made of, beside the points."""
        normals = ("point_normals",) if getattr(self.network.predicts, "has_normals", False) else ()
        return (*self.metrics.needs, *normals)

    def forward(self, batch: Mapping[str, Any]) -> Structure:
        """What the network predicts for a batch, in float32 whatever it computes in."""
        return self.network(batch).float()

    def answers(self, batch: Mapping[str, Any], count: int) -> Structure:
        """A prediction with up to `count` answers: one, unless a network can give more."""
        return self(batch)

    def rows(self, batch: Mapping[str, Any]) -> dict[str, Structure]:
        """Predictions that say what a score is worth, by name, and are scored beside the network's own in a test.

        A representation knows its own: a constant depth, a template that was not deformed, the truth on a grid.
        """
        return {}

    def objective(self, prediction: Structure, batch: Mapping[str, Any]) -> tuple[Tensor, dict[str, Tensor]]:
        """Weighted sum of the terms' batch means, and each unweighted mean; of several answers, the best one's."""
        values = of_best(self.terms, prediction, batch, self.global_step)
        parts = {name: value.mean() for name, value in values.items()}
        total = torch.stack([term.factor(self.global_step) * parts[term.name] for term in self.terms]).sum()
        return total, parts

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        """One step on one batch."""
        total, parts = self.objective(self(batch), batch)
        if not total.isfinite():
            raise FloatingPointError(f"the loss is {total.item()} at step {self.global_step}: training stops here")
        self.log("train/loss", total.detach(), prog_bar=True)
        if len(parts) > 1:
            self.log_dict({f"train/{name}": value.detach() for name, value in parts.items()})
        return total

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """Scores for the curves."""
        prediction = self(batch)
        self.validation_scores.update(self.metrics(prediction, batch, final=False))
        self.validation_scores.update({"loss": self.objective(prediction, batch)[0].reshape(1)})

    def on_validation_epoch_end(self) -> None:
        """Log the means at the number of steps that the weights have behind them, then forget them."""
        self.log("step", float(self.global_step))
        self.log_dict({f"val/{k}": v for k, v in self.validation_scores.compute().items()}, sync_dist=False)
        self.validation_scores.reset()

    def test_step(self, batch: dict[str, Any], batch_idx: int, dataloader_idx: int = 0) -> dict[str, Tensor]:
        """Per-sample scores (b,) of a batch; the results callback writes them down."""
        return self.metrics(self.answers(batch, self.metrics.answers), batch, final=True)

    def configure_optimizers(self) -> Any:
        """Optimizer, and a scheduler that knows how many steps there will be."""
        fused = getattr(self.optimizer, "keywords", {}).get("fused")
        # A fused step takes the loss scale off the gradients itself: too late for clipping.
        unfused = {"fused": False} if fused and self.trainer.scaler is not None else {}
        optimizer = self.optimizer(self.parameters(), **unfused)
        if self.scheduler is None:
            return optimizer
        scheduler = self.scheduler(optimizer, total_steps=int(self.trainer.estimated_stepping_batches))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def configure_gradient_clipping(
        self,
        optimizer: Any,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip by norm; Lightning refuses fused optimizers under mixed precision, though only a loss scaler minds."""
        if self.trainer.scaler is None and gradient_clip_val and gradient_clip_algorithm in (None, "norm"):
            torch.nn.utils.clip_grad_norm_(self.parameters(), gradient_clip_val)
        else:
            super().configure_gradient_clipping(optimizer, gradient_clip_val, gradient_clip_algorithm)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """The plain resolved config travels with the weights: no pickled objects.

        Beside it stands what builds parts of the network that began from other people's weights without these.
        """
        rebuild = {name: part.rebuild for name, part in self.network.named_modules() if hasattr(part, "rebuild")}
        entry = {"format": CHECKPOINT_FORMAT, "version": __version__, "config": self.config}
        checkpoint["lit3d"] = entry | ({"rebuild": rebuild} if rebuild else {})
