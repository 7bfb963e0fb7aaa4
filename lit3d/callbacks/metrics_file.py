"""metrics.csv: the curves of a run, whole at every moment, and continued by a resumed run; times.csv beside it."""

import csv
import io
import time
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers.logger import Logger
from pytorch_lightning.utilities import rank_zero_only

from lit3d.callbacks.results import write_atomically

TIMES = "times.csv"


def read_times(folder: Path) -> dict[int, float]:
    """Optimiser steps -> seconds since the start of a run; nothing where the run kept no times, or they are damaged."""
    try:
        lines = (folder / TIMES).read_text(encoding="utf-8").splitlines()[1:]
        return {int(step): float(seconds) for step, seconds in (line.split(",") for line in lines)}
    except (OSError, ValueError):
        return {}


class MetricsFile(Logger):
    """Every logged row as a line of `metrics.csv`, and in `times.csv` when it came.

    Lightning's CSVLogger deletes the file of an earlier start and rewrites it in place; this one writes it whole. Times
    have a file of their own, so that two runs with the same numbers have the same `metrics.csv`. They are seconds since
    the logger was made; a resumed run counts on from where it was cut.

    Args:
        folder: the run folder.
        every: rows between two writings; a checkpoint writes the file, too.
    """

    def __init__(self, folder: str | Path, every: int = 20) -> None:
        super().__init__()
        self.folder, self.every = Path(folder), every
        self.rows: list[dict[str, Any]] = []
        self.times: dict[int, float] = {}  # of the last row at a step
        self.began = time.monotonic()

    @property
    def name(self) -> str:
        """None of its own: the folder is the run's."""
        return ""

    @property
    def version(self) -> str:
        """None of its own: the folder is the run's."""
        return ""

    @property
    def save_dir(self) -> str:
        """The run folder."""
        return str(self.folder)

    @property
    def path(self) -> Path:
        """The file."""
        return self.folder / "metrics.csv"

    def log_hyperparams(self, params: Any, *_: Any, **__: Any) -> None:
        """Nothing: config.yaml holds them."""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Add a row; `step` says how many optimiser steps the scored weights have behind them."""
        step = len(self.rows) if step is None else step
        self.rows.append({"step": step} | metrics)
        self.times[step] = round(time.monotonic() - self.began, 3)
        if len(self.rows) % self.every == 0:
            self.save()

    def keep_until(self, steps: int) -> None:
        """Go on with the rows that the file of an earlier start has of its first `steps` optimiser steps."""
        if not self.path.is_file():
            return
        with self.path.open(encoding="utf-8", newline="") as stream:
            rows = [row for row in csv.DictReader(stream) if int(row["step"]) < steps + bool(row.get("val/loss"))]
        self.rows = [{k: v for k, v in row.items() if v != ""} for row in rows]
        self.times = {k: v for k, v in read_times(self.folder).items() if k <= steps}
        self.began = time.monotonic() - max(self.times.values(), default=0.0)

    @rank_zero_only
    def save(self) -> None:
        """Write all rows: `step` first, the other columns sorted."""
        if not self.rows:
            return
        columns = ["step", *sorted(set().union(*self.rows) - {"step"})]
        stream = io.StringIO()
        writer = csv.DictWriter(stream, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        write_atomically(self.path, stream.getvalue())
        lines = ["step,seconds", *(f"{step},{seconds:g}" for step, seconds in self.times.items())]
        write_atomically(self.folder / TIMES, "\n".join(lines) + "\n")

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Write what is left."""
        self.save()
