"""The checkpoint that a killed run goes on from."""

import errno
import os
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Checkpoint

from lit3d.errors import chain


class LastCheckpoint(Checkpoint):
    """Writes `last.ckpt` every few steps and at the end of training: aside, flushed to disk, then renamed.

    It writes at the *start* of a step: by then the step before is complete, with its schedule, its log rows and its
    validation, so that a resumed run neither repeats nor loses any of them.

    Args:
        folder: the run folder; the file goes to `checkpoints/`.
        every: optimiser steps between two writings, at least 1.
    """

    def __init__(self, folder: str | Path, every: int = 100) -> None:
        self.path, self.every = Path(folder) / "checkpoints" / "last.ckpt", max(1, every)
        self.written, self.begun = 0, False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """The step that the file on disk has reached."""
        self.written, self.begun = trainer.global_step, False

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Write when enough steps have passed."""
        if not self.begun:  # Lightning adds one to its logging step whenever it resumes
            self.begun = True
            trainer.fit_loop.epoch_loop._batches_that_stepped = trainer.global_step
        if trainer.global_step - self.written >= self.every:
            self._write(trainer)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the last weights, unless training was cut short inside a step."""
        if not trainer.interrupted:
            self._write(trainer)

    def _write(self, trainer: pl.Trainer) -> None:
        for logger in trainer.loggers:
            logger.save()  # rows up to this step are on disk before the checkpoint that goes on after them
        checkpoint = trainer._checkpoint_connector.dump_checkpoint(weights_only=False)
        progress = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]
        for count in (progress["total"], progress["current"]):  # a batch that is ready but not begun is not done:
            count["ready"] = count["completed"]  # Lightning would count it again and shift every later validation
        self.written = trainer.global_step
        if trainer.is_global_zero:
            save_whole(checkpoint, self.path)


def save_whole(checkpoint: dict[str, Any], path: Path) -> None:
    """Write a checkpoint aside, flush it to disk, rename: a kill or a full disk leaves the previous one whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.part")
    try:
        with aside.open("wb") as stream:
            torch.save(checkpoint, stream)
            stream.flush()
            os.fsync(stream.fileno())
    except Exception:  # after a kill, the next writing takes its place
        aside.unlink(missing_ok=True)
        raise
    aside.replace(path)


def disk_is_full(error: BaseException) -> bool:
    """Whether an error, or one that led to it, is that of a full disk: torch.save raises its own kind in its place."""
    full = (errno.ENOSPC, errno.EDQUOT)
    return any(isinstance(cause, OSError) and cause.errno in full for cause in chain(error))
