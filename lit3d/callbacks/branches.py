"""What the branches of a trained head draw: numbers in results.json, a picture in `media/`."""

import logging
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from lit3d import drawing
from lit3d.callbacks import show
from lit3d.callbacks.branch_numbers import measure
from lit3d.callbacks.branch_pictures import branch_grid
from lit3d.callbacks.results import Results
from lit3d.networks.heads import Layout

log = logging.getLogger(__name__)


class Branches(pl.Callback):
    """After the test of a head with a grid: `parameterisation` in results.json and `media/parameterisation.png`.

    It stands after `Results`, whose file it adds to. A failure is logged; it never loses a trained run.

    Args:
        folder: the run folder.
        samples: how many test objects are measured, one view of each.
        size: side of one picture.
    """

    def __init__(self, folder: str | Path, samples: int = 100, size: int = 160) -> None:
        self.folder, self.samples, self.size = Path(folder), samples, size

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Measure and draw."""
        layout = layout_of(pl_module)
        if layout is None or not trainer.is_global_zero:
            return
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        split = data.splits()[0]
        try:
            numbers = measure(pl_module, data, split, self.samples).summary()
            for callback in trainer.callbacks:  # type: ignore[attr-defined]
                if isinstance(callback, Results):
                    callback.add(parameterisation={"split": split} | numbers)
            picture = branch_grid(pl_module, preview_with_parts(data, split), layout, self.size)
            drawing.save_image(picture, self.folder / "media" / "parameterisation.png")
            for logger in trainer.loggers:
                show.log_image(logger, f"{split}/parameterisation", picture, trainer.global_step)
        except Exception:
            log.exception("could not measure or draw the branches; all other results are whole")


def layout_of(module: Any) -> Layout | None:
    """The layout of a module's head, or None where no point lies on a grid."""
    layout = getattr(getattr(module.network, "head", None), "layout", None)
    return None if layout is None or bool(layout.uv.isnan().all()) else layout


def preview_with_parts(data: Any, split: str) -> list[Any]:
    """The fixed views of the other pictures, with the parts of their true points."""
    dataset = data.dataset(split, keys=("points", "point_parts"))
    return [dataset[dataset.rows.index((s["object"], s["view"]))] for s in data.preview(split)]
