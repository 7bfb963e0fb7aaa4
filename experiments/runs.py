"""Run folders: made once, and read by an analysis when they are finished."""

import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lit3d.config import compose
from lit3d.errors import UserError
from lit3d.training import train


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


def run_once(overrides: Sequence[str], folder: Path) -> Path:
    """Train and score a config of `python -m lit3d.run` in a folder, unless its status.json says that it finished."""
    status = folder / "status.json"
    if not status.is_file() or json.loads(status.read_text(encoding="utf-8"))["status"] != "finished":
        train(compose("run", [*overrides, f"paths.output={folder}"]))
    return folder


def train_variants(
    variants: Mapping[str, Sequence[str]], name: str, description: str | None, given: Sequence[str] | None = None
) -> None:
    """The command of an experiment whose variants are sets of overrides: each with some seeds, one after the other.

    Runs lie in <out>/<variant>_<seed>; those that are finished are left as they are, so it may be stopped and called
    again. Any override of `python -m lit3d.run` is taken, for all runs.

    Args:
        variants: overrides by name.
        name: of the experiment; `out` is outputs/<name> unless given.
        description: for --help.
        given: arguments; None: the command line's.
    """
    train_chosen(variants, name, variant_parser(variants, name, description).parse_intermixed_args(given))


def variant_parser(
    variants: Mapping[str, Sequence[str]], name: str, description: str | None
) -> argparse.ArgumentParser:
    """Arguments of `train_variants`, for experiments that add their own."""

    def chosen(text: str) -> list[str]:
        if unknown := [v for v in _list(text) if v not in variants]:
            raise argparse.ArgumentTypeError(f"no such variant: {', '.join(unknown)}; there are {', '.join(variants)}")
        return _list(text)

    parser = _parser(description)
    parser.add_argument("overrides", nargs="*", help="as for python -m lit3d.run")
    parser.add_argument("--only", type=chosen, default=list(variants), help=f"of {','.join(variants)}")
    parser.add_argument("--seeds", type=_list, default=["0"], help="such as 0,1,2")
    parser.add_argument("--out", type=Path, default=_runs_of(name))
    return parser


def analysis_parser(name: str, here: Path, description: str | None) -> argparse.ArgumentParser:
    """Arguments of what reads the runs of `train_variants`: `runs`, the folder they lie in, and `out` for its files.

    Args:
        name: of the experiment.
        here: where files go unless `--out` says another folder.
        description: for --help.
    """
    parser = _parser(description)
    parser.add_argument("runs", type=Path, nargs="?", default=_runs_of(name), help="of train; %(default)s")
    parser.add_argument("--out", type=Path, default=here, help="folder of tables and figures")
    return parser


def _parser(description: str | None) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)


def _runs_of(name: str) -> Path:
    return Path("outputs") / name


def train_chosen(variants: Mapping[str, Sequence[str]], name: str, arguments: argparse.Namespace) -> None:
    """Train what parsed arguments choose of the variants."""
    common = ("logger=csv", "callbacks.media.every=0")
    for seed in arguments.seeds:
        for variant in arguments.only:
            own = [*variants[variant], *common, f"seed={seed}", f"name={name}-{variant}"]
            folder = run_once([*own, *arguments.overrides], arguments.out / f"{variant}_{seed}")
            print(f"{variant}, seed {seed}: {folder}", flush=True)


def _list(text: str) -> list[str]:
    return text.split(",")


def by_variant(folder: Path, order: Sequence[str], made_by: str) -> dict[str, list[Path]]:
    """Folders of finished runs that `train_variants` made, in the order of the variants; others come last.

    Raises:
        UserError: there is none; `made_by` is the command that makes them.
    """
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.glob("*/results.json")):
        found.setdefault(path.parent.name.rpartition("_")[0], []).append(path.parent)
    if not found:
        raise UserError(f"{folder} holds no finished runs: make them with {made_by}")
    rank = {variant: i for i, variant in enumerate(order)}
    return {variant: found[variant] for variant in sorted(found, key=lambda v: (rank.get(v, len(rank)), v))}


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
