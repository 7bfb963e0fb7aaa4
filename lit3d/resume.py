"""Which run `resume=` means, and whether the config at hand may go on with it."""

import json
import logging
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf

from lit3d.callbacks import averages
from lit3d.errors import RefusedError, UserError

log = logging.getLogger(__name__)
FREE = ("data.workers", "data.root")  # where and how data is read does not change a sample
MOVED = (*FREE, "data.source.root")  # nor where meshes lie, once there is a dataset that knows what it was made of
DECIDING = ("model", "loss", "metrics", "data", "trainer", "seed", "name", "test")  # what a job of a sweep comes to


@dataclass(frozen=True)
class Resumption:
    """A run that goes on.

    Attributes:
        folder: its run folder.
        checkpoint: the file it goes on from.
        step: optimiser steps already done.
    """

    folder: Path
    checkpoint: Path
    step: int


@dataclass(frozen=True)
class Finished:
    """A job that an earlier start of its sweep has finished, with its score."""

    score: float | None


def job_before(config: Mapping[str, Any], folder: Path) -> Finished | Resumption | None:
    """What an earlier start of a sweep left in the folder of a job: nothing, all, or a checkpoint to go on from.

    Raises:
        UserError: the folder holds a run of another config, which is not touched.
    """
    record = folder / "config.yaml"
    if not record.is_file():
        return None
    before = OmegaConf.to_container(OmegaConf.load(record))
    assert isinstance(before, dict)
    for part in DECIDING:
        for key, old, new in differences(before.get(part), config.get(part), part):
            if not key.startswith(FREE):
                raise RefusedError(
                    f"{folder} holds a run with {key}={old}, but this config says {new}: its results stay as they are; "
                    "begin a new sweep with sweep.fresh=true"
                )
    if _state(folder) == "finished":
        status = json.loads((folder / "status.json").read_text(encoding="utf-8"))
        return Finished(status.get("score"))
    try:
        return find({**config, "resume": str(folder)})
    except UserError as error:  # none yet, or damaged: the job begins anew
        log.info("%s begins anew: %s", folder.name, error)
        return None


def find(config: Mapping[str, Any]) -> Resumption:
    """The run that `config["resume"]` names: `last`, a run folder, or a checkpoint inside one.

    Raises:
        UserError: nothing to resume, a finished run, a file that is no checkpoint, or a config that differs.
    """
    wanted, fresh = str(config["resume"]), Path(config["paths"]["output"])
    checkpoint = _newest(fresh, config["name"]) if wanted == "last" else _named(Path(wanted))
    folder = checkpoint.parent.parent
    if _state(folder) == "finished":
        raise UserError(f"resume={wanted}: the run in {folder} is finished; start a new one without resume")
    try:
        saved = torch.load(checkpoint, map_location="cpu", weights_only=True)
        before, step = saved["lit3d"]["config"], int(saved["global_step"])
    except Exception as error:  # unpickling reports a damaged or foreign file by almost any error
        raise UserError(f"resume={wanted}: {checkpoint} is no checkpoint of lit3d ({type(error).__name__})") from None
    _check_same(before, config, folder)
    _check_average(averages(saved), config, folder)
    return Resumption(folder, checkpoint, step)


def _newest(fresh: Path, name: str) -> Path:
    """The last checkpoint of the newest unfinished run of this name beside the folder of this start."""
    found = [
        path / "checkpoints" / "last.ckpt"
        for path in (fresh.parent.iterdir() if fresh.parent.is_dir() else ())
        if path != fresh and _state(path) not in (None, "finished") and _name(path) == name
    ]
    found = [path for path in found if path.is_file()]
    if not found:
        raise UserError(
            f"resume=last: {fresh.parent} holds no unfinished run named '{name}' with a checkpoint; "
            "give resume=<run folder>, or start without resume"
        )
    return max(found, key=lambda path: path.stat().st_mtime)


def _named(path: Path) -> Path:
    checkpoint = path / "checkpoints" / "last.ckpt" if path.is_dir() else path
    if not checkpoint.is_file():
        raise UserError(f"resume={path}: there is no checkpoint {checkpoint}; give last, a run folder, or a checkpoint")
    return checkpoint.resolve()


def _state(folder: Path) -> str | None:
    try:
        return json.loads((folder / "status.json").read_text(encoding="utf-8"))["status"]
    except (OSError, ValueError, KeyError):
        return None


def _name(folder: Path) -> str | None:
    path = folder / "config.yaml"
    return OmegaConf.select(OmegaConf.load(path), "name") if path.is_file() else None


def _check_same(before: Mapping[str, Any], now: Mapping[str, Any], folder: Path) -> None:
    for part in ("model", "loss", "data", "seed"):
        for key, old, new in differences(before.get(part), now.get(part), part):
            if not key.startswith(MOVED):
                raise UserError(
                    f"the run in {folder} has {key}={old}, but this config says {new}: "
                    "a resumed run goes on with the config that it began with"
                )


def _check_average(had: bool, config: Mapping[str, Any], folder: Path) -> None:
    """Without its average, a run would silently go on from averaged weights."""
    nodes = (config.get("callbacks") or {}).values()
    has = any(node and str(node.get("_target_")).endswith("AveragedWeights") for node in nodes)
    if had != has:
        raise UserError(
            f"the run in {folder} has {'an average' if had else 'no average'} of its weights, and this config "
            f"{'none' if had else 'one'}: resume it with callbacks={'ema' if had else 'default'}"
        )


def differences(old: Any, new: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    """(dotted key, old, new) wherever two plain trees differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(
            old.keys() | new.keys(), key=lambda k: (isinstance(old.get(k), dict), k)
        ):  # short names first
            yield from differences(old.get(key), new.get(key), f"{path}.{key}")
    elif old != new:
        yield path, old, new


def drop_fresh(fresh: Path, folder: Path) -> None:
    """The folder that Hydra made for this start is needless: its record moves into the run that goes on."""
    if fresh.resolve() == folder.resolve() or not (fresh / ".hydra").is_dir():
        return
    if {path.name for path in fresh.iterdir() if path.is_dir() or path.stat().st_size} == {".hydra"}:
        shutil.move(fresh / ".hydra", folder / f".hydra_{fresh.name}")
        shutil.rmtree(fresh, ignore_errors=True)
