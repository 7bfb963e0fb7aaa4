"""What a loss that is not finite was computed from."""

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities import move_data_to_device

from lit3d.callbacks.last import save_whole


class BadBatch(pl.Callback):
    """Writes `bad_batch.ckpt` when training stops because the loss is not finite.

    It holds `batch` (as the network got it), `global_step`, `state_dict` (the weights before it) and `lit3d` (as in a
    checkpoint): plain tensors and values, loadable with `weights_only=True`; `lit3d.build.load_module` reads it, too.

    Args:
        folder: the run folder.
    """

    def __init__(self, folder: str | Path) -> None:
        self.path = Path(folder) / "bad_batch.ckpt"
        self.batch: Any = None

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Remember the batch, no copy."""
        self.batch = batch

    def on_train_batch_end(self, *_: Any) -> None:
        """It was harmless."""
        self.batch = None

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Write what the loss was computed from, in the process that met it."""
        if isinstance(exception, FloatingPointError) and self.batch is not None:
            batch = move_data_to_device(self.batch, torch.device("cpu"))
            saved = {"batch": batch, "global_step": trainer.global_step, "state_dict": pl_module.state_dict()}
            pl_module.on_save_checkpoint(saved)
            rank = f"_rank{trainer.global_rank}" if trainer.world_size > 1 else ""
            save_whole(saved, self.path.with_stem(f"bad_batch{rank}"))
        self.batch = None
