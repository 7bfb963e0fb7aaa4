"""Finished run folders as an analysis reads them."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lit3d.errors import UserError


@dataclass(frozen=True)
class Run:
    """A run that was scored.

    Attributes:
        folder: where it lies.
        config: what ran, resolved.
        results: results.json.
    """

    folder: Path
    config: dict[str, Any]
    results: dict[str, Any]

    def score(self, name: str, category: str | None = None, row: str | None = None) -> float:
        """A score on the split `test`: of the model, or of a reference row; of all images, or of one category.

        Raises:
            UserError: the run was not scored so.
        """
        try:
            if row is None:
                found = self.results["test_by_class"][category] if category else self.results["test"]
            else:
                rows = self.results["references"]["test"][row]
                found = rows["by_class"][category] if category else rows["mean"]
            return float(found[name])
        except KeyError as error:
            where = f"the row '{row}'" if row else "the model"
            what = f"{where} on {category or 'all categories'}"
            raise UserError(f"{self.folder} has no {name} of {what} ({error} is missing)") from None


def read_runs(paths: Iterable[str | Path]) -> list[Run]:
    """All finished runs in some folders and below them, in the order of their paths.

    Raises:
        UserError: a path holds none.
    """
    runs = []
    for path in map(Path, paths):
        found = sorted(file.parent for file in path.rglob("results.json") if (file.parent / "config.yaml").is_file())
        if not found:
            raise UserError(f"{path} holds no finished run: expected a run folder or a sweep with results.json inside")
        runs += [_read(folder) for folder in found]
    return runs


def _read(folder: Path) -> Run:
    config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    return Run(folder, config, json.loads((folder / "results.json").read_text(encoding="utf-8")))
