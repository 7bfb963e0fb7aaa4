"""Scoring without training: a checkpoint, or a folder of predictions, through the test of a run."""

import csv
import io
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from lit3d import trust
from lit3d.build import image_size, instantiate, load_image_module
from lit3d.callbacks import Results, write_atomically
from lit3d.config import fast_precision, size_key
from lit3d.errors import UserError
from lit3d.given import GivenPredictions, shape_files
from lit3d.modules import GivenModule, ReconstructionModule
from lit3d.training import build_trainer, job, score

SPLITS = {"test": ("test", "test_authors"), "test_authors": ("test_authors",), "val": ("val",)}
DIAGONALS = (0.5, 3.0)  # of the box of a shape with longest side 1: it lies between 1 and sqrt(3) in any frame
Plain = dict[str, Any]


def evaluate(cfg: DictConfig) -> float | None:
    """Score what a config names; its folder holds the files of a run's test.

    Returns:
        F-score at 5 % over the first split, None where it is not among the scores.

    Raises:
        UserError: a checkpoint, folder or dataset that cannot be used, before anything is scored.
    """
    config = _given(OmegaConf.to_container(cfg, resolve=True))
    folder = Path(config["paths"]["output"])
    folder.mkdir(parents=True, exist_ok=True)
    return job(folder, lambda: _evaluate(config, folder, OmegaConf.missing_keys(cfg)))


def _given(node: Any) -> Any:
    """A plain tree without the keys that nobody gave."""
    if not isinstance(node, dict):
        return node
    return {k: _given(v) for k, v in node.items() if v != "???"}


def _merged(base: Mapping[str, Any], given: Mapping[str, Any]) -> Plain:
    return OmegaConf.to_container(OmegaConf.merge(dict(base), dict(given)))  # type: ignore[return-value]


def _evaluate(config: Plain, folder: Path, missing: set[str]) -> float | None:
    _check_choices(config)
    began, trusted = time.monotonic(), config["lit3d"]["trust"]
    trained = load_image_module(config["checkpoint"], trusted) if config["checkpoint"] else None
    if trained is None:
        shape_files(Path(config["predictions"]))  # a mistake there is said before a dataset is made
    before = {} if trained is None else trained.config
    config["data"] = _data_config(config, before.get("data"), missing)
    config["metrics"] = _metrics_config(config, before.get("metrics", {}))
    usual = "32-true" if trained is None else before.get("precision") or fast_precision()
    config["trainer"]["precision"] = config["trainer"]["precision"] or usual
    trust.check({k: config[k] for k in ("data", "metrics", "trainer", "callbacks")}, trusted)
    data = instantiate(config["data"], seed=before.get("seed", 0))
    data.tested = SPLITS[config["split"]]
    metrics = instantiate(config["metrics"])
    if data.gives_points and metrics.emd and metrics.points > data.test_points:
        raise UserError(
            f"emd pairs {metrics.points} points with as many true ones, but data.test_points is {data.test_points}: "
            "raise it, lower metrics.points, or set metrics.emd=false"
        )
    if trained is None and not data.gives_points:
        raise UserError(f"predictions=... are shapes, but data={data.name} has no true shapes to score them against")
    if trained is not None:
        _check_fits(trained, data)
        trained.metrics = metrics
        data.need(trained.reads, trained.scored)
    data.make()
    data.setup()
    if not data.splits():
        raise UserError(f"split={config['split']}: data={data.name} has no such objects")
    module: ReconstructionModule
    if trained is None:
        module, facts = _given_module(config, data, metrics, folder)
    else:
        module, facts = trained, _checkpoint_facts(trained, config["checkpoint"])
    OmegaConf.save(OmegaConf.create(config), folder / "config.yaml")
    trainer = build_trainer(config)
    return score(trainer, module, data, {"data": time.monotonic() - began}, config["checkpoint"], facts)


def _check_choices(config: Plain) -> None:
    if bool(config["checkpoint"]) == bool(config["predictions"]):
        raise UserError("give either checkpoint=FILE or predictions=FOLDER: --help shows an example of each")
    if config["split"] not in SPLITS:
        raise UserError(f"split must be one of {', '.join(SPLITS)}, got '{config['split']}'")


def _data_config(config: Plain, before: Plain | None, missing: set[str]) -> Plain:
    """A whole `data=` as it is; else the checkpoint's with the keys that were given; else a dataset folder."""
    given = config["data"]
    if "_target_" in given:
        if wanted := sorted(key for key in missing if key.startswith("data.")):
            raise UserError(f"data={given['name']} needs a value for {', '.join(wanted)}")
        return given
    if before is not None:
        data = _merged(before, {k: v for k, v in given.items() if v != {}})  # nothing given below a key
        if "root" in before and "root" not in given and not (Path(data["root"]) / "dataset.json").is_file():
            data["root"] = str(Path(config["paths"]["data"]) / Path(data["root"]).name)
        return data
    if "root" not in given:
        raise UserError(f"predictions={config['predictions']} need data=..., or data.root=<folder of a dataset>")
    name = Path(given["root"]).name
    return {"_target_": "lit3d.data.ShapeDataModule", "name": name} | given | {"source": None, "synthesis": None}


def _metrics_config(config: Plain, before: Plain) -> Plain:
    metrics = _merged({"_target_": "lit3d.metrics.SetMetrics"} | before, config["metrics"])
    return metrics if config["protocol"] is None else metrics | {"protocols": config["protocol"]}


def _check_fits(module: ReconstructionModule, data: Any) -> None:
    """Images and targets must be what the network was trained for."""
    before = module.config["data"]
    if data.frame != (frame := before.get("frame", data.frame)):
        raise UserError(
            f"the checkpoint was trained with data.frame={frame}, but this data has {data.frame}: "
            f"add data.frame={frame}"
        )
    size, here = image_size(before), data.image_size
    if size is not None and here != size:
        (h, w), key = size, size_key({"image_size": here} if not data.gives_points else {})
        raise UserError(
            f"the checkpoint was trained on images of {h} x {w} pixels, but this data has {here[0]} x {here[1]}: "
            f"add data.{key}={h if h == w else f'[{h},{w}]'}, or take a dataset of that size"
        )


def _checkpoint_facts(module: ReconstructionModule, path: str) -> Callable[[Results], Plain]:
    return lambda results: {"steps": module.trained_steps, "checkpoint": str(path)}


# --- predictions of others --------------------------------------------------------------------------------------------


def _given_module(
    config: Plain, data: Any, metrics: Any, folder: Path
) -> tuple[GivenModule, Callable[[Results], Plain]]:
    source = Path(config["predictions"])
    wanted = [row for split in data.splits() for row in data.dataset(split, keys=("points",)).rows]
    predictions = GivenPredictions(source, wanted, set(data.opened.index()), metrics.points)
    module = GivenModule(predictions, metrics)
    module.config = {"model": {"name": config["name"]}, "seed": None}

    def facts(results: Results) -> Plain:
        table = predictions.table()
        stream = io.StringIO()
        writer = csv.DictWriter(stream, list(table[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(table)
        write_atomically(folder / "predictions.csv", stream.getvalue())
        counts = results.summary["counts"] | {"given": predictions.counts()}
        return {"predictions": str(source), "counts": counts, "notes": _notes(predictions)}

    return module, facts


def _notes(predictions: GivenPredictions) -> list[str]:
    """What a person should know before they believe the table."""
    found = list(predictions.readings.values())
    failed = [reading for reading in found if reading.failure]
    notes = []
    if failed:
        missing = sum(not reading.file for reading in failed)
        notes.append(
            f"{missing} predictions are missing and {len(failed) - missing} cannot be scored: each counts as a failure "
            "with the worst score; predictions.csv says which and why"
        )
    diagonals = [reading.diagonal for reading in found if not reading.failure]
    if diagonals and not DIAGONALS[0] < (middle := statistics.median(diagonals)) < DIAGONALS[1]:
        notes.append(
            f"the box around a prediction has a diagonal of {middle:.3g} in the median, where 1 to 1.73 is expected: "
            "are the files in units of the object's longest side?"
        )
    return notes
