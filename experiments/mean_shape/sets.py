"""Runs of the mean-shape laboratory with the point sets that they wrote."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from experiments.runs import Run, read_runs
from lit3d.errors import UserError

FAMILIES = ("circle", "arc", "corners", "disk")  # the paper's order
LOSSES = ("emd", "cd", "emd_squared", "cd_l1", "sinkhorn", "sliced", "dcd", "hypercd", "infocd")


@dataclass(frozen=True)
class Result:
    """One mean shape.

    Attributes:
        run: its folder, config and numbers.
        points: (n, d), the set.
        members: (k, n, d), some members of the family in order of their hidden number.
    """

    run: Run
    points: np.ndarray
    members: np.ndarray

    @property
    def family(self) -> str:
        """Name of the family."""
        return self.run.results["family"]["name"]

    @property
    def loss(self) -> str:
        """Names of the terms."""
        return "+".join(self.run.results["loss"])

    @property
    def found(self) -> dict[str, Any]:
        """The part `mean_shape` of results.json."""
        return self.run.results["mean_shape"]

    @property
    def expected(self) -> float:
        """The sum that was minimised, over fresh samples, without weights."""
        return sum(self.run.results["test"].values())

    def frames(self) -> tuple[np.ndarray, np.ndarray]:
        """Steps (f,) and sets (f, n, d) on the way.

        Raises:
            UserError: the run kept none.
        """
        path = self.run.folder / "media" / "frames.npz"
        if not path.is_file():
            raise UserError(f"{self.run.folder} has no media/frames.npz: callbacks.results.frames must be above 0")
        with np.load(path) as kept:
            return kept["steps"], kept["points"].astype(np.float32)


def read(paths: Iterable[str | Path]) -> list[Result]:
    """All mean shapes in some folders and below them.

    Raises:
        UserError: there are none.
    """
    found = []
    for run in read_runs(paths):
        if "mean_shape" in run.results:
            with np.load(run.folder / "points.npz") as kept:
                found.append(Result(run, kept["points"], kept["members"]))
    if not found:
        raise UserError("these runs have no mean shape: expected those of experiment=mean_shape")
    return found


def first_of_each(results: Sequence[Result]) -> dict[tuple[str, str], Result]:
    """(family, loss) -> the first run of it."""
    found: dict[tuple[str, str], Result] = {}
    for result in results:
        found.setdefault((result.family, result.loss), result)
    return found


def ordered(names: Iterable[str], known: Sequence[str]) -> list[str]:
    """Known names in their order, then the others as they come."""
    names = list(dict.fromkeys(names))
    return [name for name in known if name in names] + [name for name in names if name not in known]
