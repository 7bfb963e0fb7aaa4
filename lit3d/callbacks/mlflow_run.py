"""MLflow without a server: all runs in one SQLite database, nothing sent anywhere."""

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import MLFlowLogger
from pytorch_lightning.utilities import rank_zero_only

FOLDER = "lit3d.folder"  # the tag that says which run folder an MLflow run belongs to


def mlflow_logger(
    folder: str | Path, tracking_uri: str, experiment_name: str, resume: Any = None, group: str | None = None,
    labels: Mapping[str, str] | None = None, **options: Any,
) -> MLFlowLogger:  # fmt: skip
    """A logger for the run in `folder`; a resumed run goes on in the MLflow run that it began.

    Args:
        folder: the run folder.
        tracking_uri: the database, sqlite:///<path>; it is made where there is none (about 7 s, once).
        experiment_name: the experiment; MLflow keeps artifacts by experiment, not by run.
        resume: the run's own key `resume`; where it is empty, a new MLflow run begins.
        group: what runs of a sweep share, as the tag `lit3d.group`.
        labels: W&B's tags, as tags `lit3d.<name>`.
        options: further arguments of Lightning's `MLFlowLogger`.
    """
    with kept_environment("MLFLOW_"):
        os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # read at import; it would report each start
        import mlflow
    for name, level in (("mlflow", "WARNING"), ("alembic", "WARNING"), ("pytorch_lightning.loggers.mlflow", "ERROR")):
        logging.getLogger(name).setLevel(level)
    here = str(Path(folder).resolve())
    earlier = None
    if resume and getattr(rank_zero_only, "rank", 0) == 0:
        client = mlflow.MlflowClient(tracking_uri)
        experiment = client.get_experiment_by_name(experiment_name)
        found = [] if experiment is None else client.search_runs(
            [experiment.experiment_id], f"tags.`{FOLDER}` = '{here}'", max_results=1
        )  # fmt: skip
        earlier = found[0].info.run_id if found else None
    tags = {FOLDER: here, "lit3d.group": group or ""} | {f"lit3d.{k}": v for k, v in (labels or {}).items()}
    return MLFlowLogger(
        experiment_name=experiment_name, tracking_uri=tracking_uri, run_id=earlier, tags=tags, **options
    )


@contextmanager
def kept_environment(*prefixes: str) -> Iterator[None]:
    """Undo changes of environment variables with these prefixes: the next job of this process would inherit them."""
    before = {k: v for k, v in os.environ.items() if k.startswith(prefixes)}
    try:
        yield
    finally:
        for name in [k for k in os.environ if k.startswith(prefixes) and k not in before]:
            del os.environ[name]
        os.environ.update(before)
