"""Progress of a run in steps: a live bar in a terminal, a plain line every few seconds elsewhere."""

import time
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ProgressBar
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

SHOWN = ("val/fscore_5pct", "val/chamfer_l1")


class StepProgress(ProgressBar):
    """Training steps out of all steps, the loss, and the last validation.

    Args:
        every: seconds between plain lines where there is no terminal.
    """

    def __init__(self, every: float = 15.0) -> None:
        super().__init__()
        self.every, self.console = every, Console()
        self.bar: Progress | None = None
        self.task: Any = None
        self.total, self.began, self.next_line = 0.0, 0.0, 0.0

    def disable(self) -> None:
        """Lightning's switch for ranks other than zero."""
        self.every = float("inf")
        self.console = Console(quiet=True)

    def _start(self, what: str, total: float) -> None:
        self._stop()
        self.total, self.began = total, time.monotonic()
        self.next_line = self.began + self.every
        self.what = what
        if self.console.is_terminal:
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
                       TimeRemainingColumn(), TextColumn("{task.fields[facts]}"))  # fmt: skip
            self.bar = Progress(*columns, console=self.console, transient=True)
            self.bar.start()
            self.task = self.bar.add_task(what, total=total, facts="")

    def _advance(self, done: int, facts: str = "") -> None:
        if self.bar is not None:
            self.bar.update(self.task, completed=done, facts=facts)
        elif time.monotonic() >= self.next_line:
            self.next_line = time.monotonic() + self.every
            left = (time.monotonic() - self.began) / max(done, 1) * (self.total - done)
            line = f"{self.what} {done}/{self.total:.0f}, {left / 60:.1f} min left  {facts}"
            self.console.print(line, highlight=False, soft_wrap=True)

    def _stop(self) -> None:
        if self.bar is not None:
            self.bar.stop()
            self.bar = None

    def _facts(self, trainer: pl.Trainer) -> str:
        values = trainer.callback_metrics
        loss = [f"loss {float(values['train/loss']):.4f}"] if "train/loss" in values else []
        return "  ".join(loss + [f"{k} {float(values[k]):.3f}" for k in SHOWN if k in values])

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Open the bar."""
        self._start("training", trainer.estimated_stepping_batches)

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """One step further."""
        if self.bar is None or trainer.global_step % 10 == 0:
            self._advance(trainer.global_step, self._facts(trainer) if self._due() else "")

    def _due(self) -> bool:
        return self.bar is not None or time.monotonic() >= self.next_line

    def on_train_end(self, *_: Any) -> None:
        """Close the bar."""
        self._stop()

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Open the bar of the test."""
        self.done = 0
        self._start("testing", sum(trainer.num_test_batches))

    def on_test_batch_end(self, *_: Any) -> None:
        """One batch further."""
        self.done += 1
        self._advance(self.done)

    def on_test_end(self, *_: Any) -> None:
        """Close the bar."""
        self._stop()

    def on_exception(self, *_: Any) -> None:
        """Leave the terminal as it was."""
        self._stop()
