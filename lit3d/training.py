"""One run: config -> data, module, trainer -> checkpoints, scores and pictures in a run folder."""

import gc
import json
import logging
import os
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from lit3d import resume, trust
from lit3d.build import build_module, instantiate, plain
from lit3d.callbacks import MetricsFile, ResultsFile, show, write_atomically
from lit3d.callbacks.last import disk_is_full
from lit3d.callbacks.mlflow_run import kept_environment
from lit3d.errors import UserError, chain
from lit3d.locks import alone, further_rank
from lit3d.losses import check_sizes, try_terms
from lit3d.summary import print_summary
from lit3d.sweeps.jobs import STATUS, job_folder

log = logging.getLogger(__name__)
HARMLESS = (
    r".*exists and is not empty. Previous log files.*",  # the run folder is made before its CSV log
    r".*LeafSpec.*deprecated.*",  # inside Lightning
    r".*does not have many workers.*",  # loading is a small share of a step; data.workers is the user's
    r".*batch_size. from an ambiguous collection.*",
    r".*your dataloader is not resumable.*",  # EpochSampler goes on where the checkpoint says
    r".*recommended to use `self.log.*sync_dist=True.*",  # torchmetrics has added up the processes already
    r".*You defined a `validation_step` but have no `val_dataloader`.*",  # data without a truth to validate on
    r".*Checkpoint directory .* exists and is not empty.*",  # a resumed run's is
)


def train(cfg: DictConfig) -> float | None:
    """Run a config as a job: its folder says how it ended, and nothing of it stays alive afterwards.

    Returns:
        For sweepers, the test F-score at 5 %; with test=false the best validation score, as far as there is one.
    """
    config = plain(cfg)
    fresh = Path(config["paths"]["output"])
    earlier: resume.Resumption | None = None
    if config["resume"]:
        earlier = resume.find(config)
    elif job_folder() is not None:  # of a sweep, which may be continued
        before = resume.job_before(config, fresh)
        if isinstance(before, resume.Finished):
            log.info("%s is finished already", fresh.name)
            return before.score
        earlier = before
        cfg.resume = None if earlier is None else str(earlier.folder)
    folder = fresh if earlier is None else earlier.folder
    cfg.paths.output = str(folder)
    config = plain(cfg)
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder):
        resume.drop_fresh(fresh, folder)
        return job(folder, lambda: _train(config, folder, earlier), None if earlier is None else earlier.step)


def job(folder: Path, work: Callable[[], float | None], resumed: int | None = None) -> float | None:
    """Work in a run folder, and in status.json how it ended; nothing stays alive afterwards."""
    began = time.monotonic()
    _status(folder, "running", resumed=resumed)
    for text in HARMLESS:
        warnings.filterwarnings("ignore", text)
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    try:
        with _trackers(folder):
            result = work()
    except BaseException as caught:
        error = _explained(caught, folder)
        reason = "interrupted" if isinstance(error, KeyboardInterrupt) else f"{type(error).__name__}: {error}"
        _status(folder, "failed", reason, time.monotonic() - began, resumed)
        if not isinstance(error, UserError | KeyboardInterrupt):
            log.exception("the run in %s failed", folder)
        _forget(caught)
        if error is caught:
            raise
        raise error from None
    finally:
        gc.collect()
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()  # what a failed job held is there for the next
    _status(folder, "finished", seconds=time.monotonic() - began, resumed=resumed, score=result)
    return result


def _explained(error: BaseException, folder: Path) -> BaseException:
    """Errors of the machine as sentences; Ctrl-C as itself."""
    if isinstance(error, SystemExit):  # what Lightning makes of it
        return KeyboardInterrupt()
    if disk_is_full(error):
        return UserError(f"the disk of {folder} is full; free some space, then go on with resume={folder}")
    return error


def _forget(error: BaseException) -> None:
    """Clear the frames of an error and of those that led to it: a sweep may keep it, and its frames the model."""
    for cause in chain(error):
        traceback.clear_frames(cause.__traceback__)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Refuse a folder that another process trains in; further ranks of one run share its folder."""
    if further_rank():
        yield
        return
    with alone(folder, f"another process trains in {folder} just now: wait until it ends"):
        yield


def _train(config: dict[str, Any], folder: Path, earlier: resume.Resumption | None) -> float | None:
    console = Console()
    trust.check(config, config["lit3d"]["trust"])
    _check_numbers(config)
    _check_processes(config["trainer"])
    show.check_installed(config["logger"])
    pl.seed_everything(config["seed"], workers=False, verbose=False)
    module = build_module(config, config["lit3d"]["trust"])
    check_sizes(module.terms, config["model"].get("points"), config["data"].get("points"))
    try_terms(module.terms)
    data = instantiate(config["data"], seed=config["seed"])
    data.need([*module.reads, *(key for term in module.terms for key in term.targets)], module.scored)
    OmegaConf.save(OmegaConf.create(config), folder / "config.yaml")
    began = time.monotonic()
    data.make()
    data.setup()
    if config["test"] and not data.splits():
        raise UserError(
            f"data={data.name} has nothing in the split test, so nothing could be scored: add some, or set test=false"
        )
    module.config |= {"camera": data.nominal_camera(), "precision": config["trainer"]["precision"]}
    made = time.monotonic()
    trainer = build_trainer(config)
    for logger in trainer.loggers:
        if earlier is not None and isinstance(logger, MetricsFile):
            logger.keep_until(earlier.step)
    checkpoint = None if earlier is None else earlier.checkpoint
    trainer.fit(module, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    trained = time.monotonic()
    if not config["test"]:
        console.print(f"Trained {trainer.global_step} steps; test=false, so nothing is scored. Run folder: {folder}")
        reached = getattr(trainer.checkpoint_callback, "best_model_score", None)
        return None if reached is None else float(reached)
    best = getattr(trainer.checkpoint_callback, "best_model_path", None)
    if best:
        module.load_state_dict(torch.load(best, map_location=module.device, weights_only=True)["state_dict"])
    return score(trainer, module, data, {"data": made - began, "training": trained - made}, best)


def score(
    trainer: pl.Trainer, module: pl.LightningModule, data: Any, seconds: dict[str, float], best: str | None,
    facts: Callable[[Any], dict[str, Any]] = lambda results: {},
) -> float | None:  # fmt: skip
    """Test, complete results.json and print the closing table.

    Args:
        trainer: with a callback that writes results.json.
        module: with the weights to score.
        data: the data module.
        seconds: what went before.
        best: the checkpoint for the closing lines.
        facts: gives further entries of results.json once the test is over.

    Returns:
        F-score at 5 % over the first split, None where it is not among the scores.
    """
    began = time.monotonic()
    trainer.test(module, datamodule=data, verbose=False)
    if not trainer.is_global_zero:
        return None
    results = next(c for c in trainer.callbacks if isinstance(c, ResultsFile))  # type: ignore[attr-defined]
    results.add(seconds=seconds | {"test": time.monotonic() - began}, **facts(results))
    print_summary(results.summary, results.folder, best)
    return results.summary[data.splits()[0]].get("fscore_5pct")


def _check_numbers(config: dict[str, Any]) -> None:
    """Numbers that cannot work are refused before anything is built."""
    if not (isinstance(config["seed"], int) and 0 <= config["seed"] < 2**32):
        raise UserError(f"seed must be a whole number from 0 to 2^32 - 1, got {config['seed']}")
    steps = config["trainer"].get("max_steps", 1)
    if not isinstance(steps, int) or steps < 1:
        raise UserError(f"trainer.max_steps must be at least 1, got {steps}")
    data = config["data"]
    if "synthesis" in data and max(data["points"], data["test_points"]) > (stored := data["synthesis"]["points"]):
        wanted = max(data["points"], data["test_points"])
        raise UserError(
            f"data.points and data.test_points may be at most data.synthesis.points = {stored}, but {wanted} are wanted"
        )


def _check_processes(trainer: dict[str, Any]) -> None:
    """Lightning starts the further processes of ddp with this command line: in a sweep, each would run all of it."""
    if job_folder() is None or "LOCAL_RANK" in os.environ or int(os.environ.get("SLURM_NTASKS", 1)) > 1:
        return
    devices, strategy = trainer["devices"], str(trainer.get("strategy", "auto"))
    if isinstance(devices, str) and not devices.isdigit():
        devices = -1 if devices == "auto" else [d for d in devices.split(",") if d]
    count = len(devices) if isinstance(devices, list) else int(devices)
    count = max(1, torch.cuda.device_count()) if count == -1 and trainer.get("accelerator") != "cpu" else count
    if count * trainer.get("num_nodes", 1) > 1 and not strategy.endswith(("_spawn", "_fork", "_notebook")):
        raise UserError(
            f"trainer.devices={trainer['devices']} in a sweep: each further process would run the whole sweep again. "
            "Sweep with trainer.devices=1 and hydra/launcher=joblib, start the runs one by one, or let SLURM start "
            "all processes (hydra/launcher=slurm hydra.launcher.tasks_per_node=2); docs/sweeps.md"
        )


def build_trainer(config: dict[str, Any]) -> pl.Trainer:
    """The trainer of a config with its callbacks and loggers."""
    callbacks = [instantiate(node) for node in (config["callbacks"] or {}).values() if node]
    loggers = [instantiate(node) for node in (config["logger"] or {}).values() if node]
    torch.set_float32_matmul_precision("high")
    trainer = instantiate(config["trainer"], callbacks=callbacks, logger=loggers)
    for logger in loggers:
        show.log_config(logger, config)
    return trainer


def _status(
    folder: Path, state: str, reason: str | None = None, seconds: float | None = None, resumed: int | None = None,
    score: float | None = None,
) -> None:  # fmt: skip
    """Say how a run stands; `resumed` is the step that this start went on from. Further ranks only report a failure."""
    if further_rank() and state != "failed":
        return
    status: dict[str, Any] = {"status": state, "reason": reason, "seconds": seconds and round(seconds, 1)}
    status |= {} if resumed is None else {"resumed": True, "resumed_from_step": resumed}
    status |= {} if score is None else {"score": score}
    try:
        write_atomically(folder / STATUS, json.dumps(status) + "\n")
    except OSError as error:  # a full disk must not hide why the run failed
        log.error("%s cannot be written: %s", folder / STATUS, error)


@contextmanager
def _trackers(folder: Path) -> Iterator[None]:
    """Keep from the next job of this process what dashboards leave in it: an open W&B run, an address of MLflow."""
    with kept_environment("MLFLOW_", "_MLFLOW_", "WANDB_DATA_DIR"):
        os.environ.setdefault("WANDB_DATA_DIR", str(folder.resolve() / "wandb"))  # pictures of tables wait there
        try:
            yield
        finally:
            if "wandb" in sys.modules and sys.modules["wandb"].run is not None:
                sys.modules["wandb"].finish()
