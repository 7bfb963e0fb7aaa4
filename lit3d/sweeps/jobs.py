"""One job of a sweep: whatever happens in it, the next one runs, and its folder says what happened."""

import functools
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lit3d.errors import RefusedError, UserError
from lit3d.locks import further_rank
from lit3d.sweeps.command import write_json

log = logging.getLogger(__name__)
STATUS = "status.json"


class Job:
    """A task as launchers call it. In a sweep, an error ends in status.json and the log; it is not raised.

    Hydra would keep each exception, and with it the frames of the job, until the sweep ends; its sweepers stop at the
    first one; other processes must be able to send it, which not every exception allows.

    Args:
        task: what one config is given to; it returns a number for sweepers, or None. Anything else would be kept by
            Hydra until the sweep ends, and with it a model, perhaps: it is dropped.
    """

    def __init__(self, task: Callable[[Any], float | None]) -> None:
        functools.update_wrapper(self, task)
        self.task = task

    def __call__(self, cfg: Any) -> float | None:
        """The task's number; None where it has none, or failed in a sweep."""
        folder = job_folder()
        if folder is None:
            return self.task(cfg)
        try:
            result = self.task(cfg)
            result = result if isinstance(result, int | float) else None
        except Exception as error:  # a job that fails is one row of the closing table
            note_failure(folder, error)
            return None
        status = read_status(folder)
        if further_rank():  # the first one says it
            return result
        if status.get("status") != "finished" or "refused" in status:  # of tasks that do not say it themselves
            status = status if status.get("status") == "finished" else {"reason": None, "seconds": None}
            _write(folder, {k: v for k, v in status.items() if k != "refused"} | {"status": "finished"})
        return result

    def __reduce__(self) -> tuple[Any, ...]:
        """In another process, interpolations of configs need our resolvers before the first job begins."""
        return _arrived, (self.task,)


def _arrived(task: Callable[[Any], float | None]) -> Job:
    from lit3d.config import register_resolvers

    register_resolvers()
    return Job(task)


def job_folder() -> Path | None:
    """The folder of the job that this process works at; None outside a sweep."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    if not HydraConfig.initialized() or HydraConfig.get().mode != RunMode.MULTIRUN:
        return None
    return Path(HydraConfig.get().runtime.output_dir)


def note_failure(folder: Path, error: Exception) -> None:
    """Log a failure, and make sure that status.json tells it, however early it was."""
    reason, status = f"{type(error).__name__}: {error}", read_status(folder)
    expected = isinstance(error, UserError)
    told = status.get("reason") == reason  # the task has logged and written it
    log.error("%s failed: %s", folder.name, error if expected else reason, exc_info=None if expected or told else error)
    if isinstance(error, RefusedError):  # what is in the folder stays, and so does its status
        _write(folder, status | {"refused": reason})
    elif not told:
        _write(folder, {"status": "failed", "reason": reason, "seconds": None})


def _write(folder: Path, status: dict[str, Any]) -> None:
    try:
        write_json(folder / STATUS, status)
    except OSError as full:
        log.error("%s cannot be written: %s", folder / STATUS, full)


def read_status(folder: Path) -> dict[str, Any]:
    """What status.json says, empty where there is none."""
    try:
        return json.loads((folder / STATUS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
