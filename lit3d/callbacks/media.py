"""Pictures of fixed test views: input, truth, and the prediction from the input's view and from 90 degrees."""

import logging
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from PIL import Image
from torch.utils.data import default_collate

from lit3d import drawing

log = logging.getLogger(__name__)
HEADS = ("input", "truth", "prediction", "truth, 90°", "prediction, 90°")


class Media(pl.Callback):
    """Draws after validations and after the test, on rank zero; a failure to draw never stops training.

    Args:
        folder: the run folder; pictures go to `media/`.
        every: draw at each k-th validation; 0 draws only the test.
        size: side of one picture in the grid.
    """

    def __init__(self, folder: str | Path, every: int = 1, size: int = 160) -> None:
        self.folder, self.every, self.size = Path(folder) / "media", every, size
        self.samples: list[Any] | None = None
        self.seen = 0

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Draw with the weights of this step."""
        if trainer.sanity_checking or not self.every:
            return
        self.seen += 1
        if self.seen % self.every == 0:
            self._draw(trainer, pl_module, f"step_{trainer.global_step:06d}")

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Draw with the tested weights."""
        for split in trainer.datamodule.splits():  # type: ignore[attr-defined]
            self._draw(trainer, pl_module, split, trainer.datamodule.preview(split))  # type: ignore[attr-defined]

    def _draw(self, trainer: pl.Trainer, module: Any, name: str, samples: list[Any] | None = None) -> None:
        if not trainer.is_global_zero:
            return
        try:
            if samples is None:
                self.samples = self.samples or trainer.datamodule.preview()  # type: ignore[attr-defined]
                samples = self.samples
            picture = prediction_grid(module, samples, self.size)
            drawing.save_image(picture, self.folder / f"{name}.png")
            for logger in trainer.loggers:
                if isinstance(logger, pl.loggers.WandbLogger):
                    logger.log_image("predictions", [picture], step=trainer.global_step)
        except Exception:
            log.exception("could not draw %s; training goes on", name)


def prediction_grid(module: Any, samples: list[Any], size: int = 160) -> Image.Image:
    """A row for each sample: input, truth and prediction in the input's view, both turned by 90 degrees."""
    batch = module.transfer_batch_to_device(default_collate(samples), module.device, 0)
    training = module.training
    module.eval()
    with torch.no_grad():
        prediction = module(batch)
        points = prediction.surface(_count(prediction, module.metrics.points))[0].cpu().double()
    module.train(training)
    rows = []
    for i, sample in enumerate(samples):
        intrinsics, pose = (sample[k].double().numpy() for k in ("intrinsics", "pose"))
        up = sample["object_to_target"][:3, 1].double().numpy()
        side = sample["image"].shape[-1]
        truth = sample["points"][: points.shape[1]].double().numpy()
        t0, t90 = drawing.two_views(truth, intrinsics, pose, up, size, side)
        p0, p90 = drawing.two_views(points[i].numpy(), intrinsics, pose, up, size, side)
        rows.append([drawing.upscaled(sample["image"].permute(1, 2, 0).numpy(), size), t0, p0, t90, p90])
    return drawing.grid(rows, HEADS, [s["category"] for s in samples])


def _count(prediction: Any, wanted: int) -> int:
    return wanted if prediction.capacity is None else min(wanted, prediction.capacity)
