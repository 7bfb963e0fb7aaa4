"""What a run shows of fixed test views: pictures, shapes as files and in dashboards, a table of predictions."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from lit3d import drawing
from lit3d.callbacks import show
from lit3d.callbacks.kept_views import save_views
from lit3d.callbacks.views import Views, look
from lit3d.errors import UserError

log = logging.getLogger(__name__)
WHEN = ("never", "test", "always")


class Media(pl.Callback):
    """Shows fixed views after validations and after the test, on rank zero; a failure to draw never stops training.

    Args:
        folder: the run folder; everything goes to `media/`, and into the loggers that have a place for it.
        every: draw at each k-th validation; 0 draws only the test.
        size: side of one picture in the grid.
        shapes: when predictions become .ply, .glb and point clouds in dashboards: never, test, or always (at each
            drawn validation, too).
        clouds: the most point clouds in a dashboard at a time.
        cloud_points: the most points of each.
        rows: the most rows of the table of test predictions.
        views: the most test views that media/<split>_views.npz keeps for a report; 0 keeps none.

    Raises:
        UserError: another word for `shapes`.
    """

    def __init__(
        self, folder: str | Path, every: int = 1, size: int = 160, shapes: str = "test", clouds: int = 4,
        cloud_points: int = 2000, rows: int = 24, views: int = 24,
    ) -> None:  # fmt: skip
        if shapes not in WHEN:
            raise UserError(f"callbacks.media.shapes must be one of {', '.join(WHEN)}, got '{shapes}'")
        self.folder, self.every, self.size = Path(folder) / "media", every, size
        self.shapes, self.clouds, self.cloud_points, self.rows = shapes, clouds, cloud_points, rows
        self.views = views
        self.samples: list[Any] | None = None
        self.seen = 0

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show with the weights of this step."""
        if trainer.sanity_checking or not self.every or not trainer.is_global_zero:
            return
        self.seen += 1
        if self.seen % self.every:
            return
        with _harmless(f"validation at step {trainer.global_step}"):
            self.samples = self.samples or trainer.datamodule.preview()  # type: ignore[attr-defined]
            name = f"step_{trainer.global_step:06d}"
            self._show(trainer, look(pl_module, self.samples), name, "media", self.shapes == "always")

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show with the tested weights."""
        if not trainer.is_global_zero:
            return
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        for split in data.splits():
            with _harmless(f"the predictions of {split}"):
                self._show(trainer, look(pl_module, data.preview(split)), split, split, self.shapes != "never")
            if self.views > 0:
                with _harmless(f"the views of {split} for reports"):
                    save_views(self.folder / f"{split}_views.npz", look(pl_module, data.preview(split, self.views)))
            with _harmless(f"the table of {split}"):
                self._table(trainer, pl_module, split)

    def _show(self, trainer: pl.Trainer, views: Views, name: str, key: str, shapes: bool) -> None:
        picture = views.grid(self.size)
        drawing.save_image(picture, self.folder / f"{name}.png")
        for logger in trainer.loggers:
            show.log_image(logger, f"{key}/predictions", picture, trainer.global_step)
        if shapes:
            views.write(self.folder / name)
            clouds = list(views.clouds(self.clouds, self.cloud_points))
            for logger in trainer.loggers:
                show.log_clouds(logger, f"{key}/clouds", clouds, trainer.global_step)

    def _table(self, trainer: pl.Trainer, module: Any, split: str) -> None:
        loggers = [logger for logger in trainer.loggers if isinstance(logger, show.TAKES_TABLES)]
        if not loggers or self.rows < 1:
            return
        samples = trainer.datamodule.preview(split, self.rows)  # type: ignore[attr-defined]
        columns, rows = look(module, samples, score=True).table(self.size)
        for logger in loggers:
            show.log_table(logger, f"{split}/table", columns, rows, trainer.global_step)


@contextmanager
def _harmless(what: str) -> Iterator[None]:
    try:
        yield
    except Exception:
        log.exception("could not show %s; the run goes on", what)
