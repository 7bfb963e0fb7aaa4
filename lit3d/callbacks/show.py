"""Pictures, point clouds, tables, configs and scores into each kind of logger, under the same names.

A logger that has no place for something passes it over: pictures and shapes lie in the run folder in any case.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from functools import singledispatch
from importlib.util import find_spec
from typing import Any

import numpy as np
from PIL import Image
from pytorch_lightning.loggers import MLFlowLogger, TensorBoardLogger, WandbLogger
from pytorch_lightning.loggers.logger import Logger

from lit3d.errors import UserError

TAKES_TABLES = (WandbLogger, TensorBoardLogger, MLFlowLogger)
NEEDS = {"TensorBoardLogger": ("tensorboard",), "mlflow_logger": ("mlflow", "sqlalchemy", "alembic")}

Cloud = tuple[str, np.ndarray, np.ndarray]  # caption, points (n, 3) with y up, colours (n, 3) uint8


def check_installed(loggers: Mapping[str, Any] | None) -> None:
    """Refuse loggers whose packages are missing before work starts.

    Raises:
        UserError: naming what to install.
    """
    for name, node in (loggers or {}).items():
        missing = [p for p in NEEDS.get(str((node or {}).get("_target_")).rpartition(".")[2], ()) if not find_spec(p)]
        if missing:
            raise UserError(f"logger={name} needs {', '.join(missing)}: pip install 'lit3d[{name}]'")


# --- pictures ------------------------------------------------------------------------------------------------------


@singledispatch
def log_image(logger: Logger, name: str, image: Image.Image, step: int) -> None:
    """One picture at a step."""


@log_image.register
def _(logger: WandbLogger, name: str, image: Image.Image, step: int) -> None:
    logger.log_image(name, [image], step=step)


@log_image.register
def _(logger: TensorBoardLogger, name: str, image: Image.Image, step: int) -> None:
    logger.experiment.add_image(name, np.asarray(image), step, dataformats="HWC")


@log_image.register
def _(logger: MLFlowLogger, name: str, image: Image.Image, step: int) -> None:
    logger.experiment.log_image(logger.run_id, image, key=name, step=step)


# --- point clouds --------------------------------------------------------------------------------------------------


@singledispatch
def log_clouds(logger: Logger, name: str, clouds: Sequence[Cloud], step: int) -> None:
    """A few point clouds at a step, small enough for a browser."""


@log_clouds.register
def _(logger: WandbLogger, name: str, clouds: Sequence[Cloud], step: int) -> None:
    import wandb

    objects = [wandb.Object3D(np.hstack([points, colours]), caption=caption) for caption, points, colours in clouds]
    logger.log_metrics({name: objects}, step)  # type: ignore[dict-item]


@log_clouds.register
def _(logger: TensorBoardLogger, name: str, clouds: Sequence[Cloud], step: int) -> None:
    for caption, points, colours in clouds:
        tag = f"{name}/{caption}"
        logger.experiment.add_mesh(tag, points[None].astype(np.float32), colours[None], global_step=step)


# --- tables --------------------------------------------------------------------------------------------------------


@singledispatch
def log_table(logger: Logger, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], step: int) -> None:
    """A table whose cells are text, numbers or pictures; where it cannot show pictures, their columns are left out."""


@log_table.register
def _(logger: WandbLogger, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], step: int) -> None:
    import wandb

    cells = [[wandb.Image(cell) if isinstance(cell, Image.Image) else cell for cell in row] for row in rows]
    logger.log_table(name, columns=list(columns), data=cells, step=step)


@log_table.register
def _(logger: TensorBoardLogger, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], step: int) -> None:
    head, *body = _as_text(columns, rows)
    lines = [head, ["---"] * len(head), *body]
    logger.experiment.add_text(name, "\n".join(f"| {' | '.join(line)} |" for line in lines), step)


@log_table.register
def _(logger: MLFlowLogger, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], step: int) -> None:
    stream = io.StringIO()  # its own log_table needs pandas
    csv.writer(stream, lineterminator="\n").writerows(_as_text(columns, rows))
    logger.experiment.log_text(logger.run_id, stream.getvalue(), f"{name}.csv")


def _as_text(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[list[str]]:
    kept = [i for i in range(len(columns)) if not any(isinstance(row[i], Image.Image) for row in rows)]
    body = [[f"{row[i]:.4g}" if isinstance(row[i], float) else str(row[i]) for i in kept] for row in rows]
    return [[columns[i] for i in kept], *body]


# --- config and final scores ---------------------------------------------------------------------------------------


@singledispatch
def log_config(logger: Logger, config: dict[str, Any]) -> None:
    """The whole resolved config of a run."""
    logger.log_hyperparams(config)


@log_config.register
def _(logger: WandbLogger, config: dict[str, Any]) -> None:
    logger._wandb_init.pop("anonymous", None)  # Lightning sets it to None, and W&B warns that it is going away
    logger.log_hyperparams(config)


@log_config.register
def _(logger: MLFlowLogger, config: dict[str, Any]) -> None:
    logger.log_hyperparams(config)  # flat, each value cut at 250 characters: hence whole beside it
    logger.experiment.log_dict(logger.run_id, config, "config.yaml")


@singledispatch
def log_scores(logger: Logger, scores: dict[str, float], step: int) -> None:
    """The final scores of a run, where its kind of logger keeps what runs are compared by."""
    logger.log_metrics(scores, step)


@log_scores.register
def _(logger: WandbLogger, scores: dict[str, float], step: int) -> None:
    logger.log_metrics(scores, step)
    logger.experiment.summary.update(scores)


@log_scores.register
def _(logger: TensorBoardLogger, scores: dict[str, float], step: int) -> None:
    logger.log_hyperparams(dict(logger.hparams), scores, step)  # logs them as scalars, too
