"""The saved workspace of a W&B project: which panels show what the runs of lit3d log."""

from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from typing import Any

from lit3d.errors import UserError
from lit3d.metrics.point_sets import more_is_better

STEP = "trainer/global_step"
SCORES = ("fscore_5pct", "fscore_1pct", "chamfer_l1", "emd")
GROUPS = {"model": "labels.model", "loss": "labels.loss", "model and loss": "name"}  # -> key of a run's config
AXES = ("labels.model", "labels.loss", "labels.data", "model.optimizer.lr", "trainer.max_steps", "seed")
PICTURES = ("test/predictions", "media/predictions")
WIDTH = 8  # of a panel, in columns of a section's grid of 24


def make(config: Mapping[str, Any]) -> Any:
    """The workspace of a config, in memory: nothing is sent.

    Raises:
        UserError: the package is missing.
    """
    if not find_spec("wandb_workspaces"):
        raise UserError("python -m lit3d.dashboard needs wandb-workspaces: pip install 'lit3d[dashboard]'")
    import wandb_workspaces.workspaces as ws

    return ws.Workspace(
        entity=config["entity"] or "", project=config["project"], name=config["name"],
        sections=[ws.Section(name=name, panels=panels, is_open=True) for name, panels in _sections(config["split"])],
        settings=ws.WorkspaceSettings(x_axis=STEP, max_runs=config["runs"]),
        runset_settings=ws.RunsetSettings(groupby=[ws.Metric("Group")] if config["grouped"] else []),
    )  # fmt: skip


def _sections(split: str) -> Iterator[tuple[str, list[Any]]]:
    """Names and panels, in the order of the page."""
    import wandb_workspaces.reports.v2 as wr

    for what, key in GROUPS.items():
        yield f"Scores by {what}", [
            wr.BarPlot(title=f"{split}/{score}", metrics=[f"{split}/{score}"], groupby=wr.Config(key),
                       groupby_aggfunc="mean", groupby_rangefunc="stddev", layout=_place(k))
            for k, score in enumerate(SCORES)
        ]  # fmt: skip
    yield "Learning", [
        wr.LinePlot(title=title, x=STEP, y=[title], log_y=log, groupby=wr.Config("name"), groupby_aggfunc="mean",
                    groupby_rangefunc="minmax", layout=_place(k))
        for k, (title, log) in enumerate([("val/fscore_5pct", False), ("val/chamfer_l1", True), ("train/loss", True)])
    ]  # fmt: skip
    yield "Predictions", [
        *(wr.MediaBrowser(title=key, media_keys=[key], num_columns=1, layout=_place(k, 12))
          for k, key in enumerate(PICTURES)),
        wr.MediaBrowser(title=f"{split}/clouds", media_keys=[f"{split}/clouds"], num_columns=4, layout=_place(1, 24)),
        wr.WeavePanelSummaryTable(table_name=f"{split}/table", layout=_place(2, 24)),
    ]  # fmt: skip
    yield "Everything at once", [
        wr.ParallelCoordinatesPlot(title="config and scores", columns=_axes(split), layout=_place(0, 24))
    ]


def _axes(split: str) -> list[Any]:
    import wandb_workspaces.reports.v2 as wr

    columns = [wr.ParallelCoordinatesPlotColumn(metric=wr.Config(key), display_name=key) for key in AXES]
    scores = [
        wr.ParallelCoordinatesPlotColumn(
            metric=wr.SummaryMetric(f"{split}/{score}"), display_name=score, inverted=not more_is_better(score)
        )
        for score in SCORES
    ]
    return columns + scores


def _place(number: int, width: int = WIDTH) -> Any:
    """The place of a panel in a grid that is filled row by row."""
    import wandb_workspaces.reports.v2 as wr

    columns = 24 // width
    return wr.Layout(x=number % columns * width, y=number // columns * WIDTH, w=width, h=WIDTH)


def described(workspace: Any) -> list[str]:
    """What a workspace would hold, a line a panel."""
    grouped = ", ".join(f"by {key.name}" for key in workspace.runset_settings.groupby) or "one by one"
    place = f"{workspace.entity or '<your entity>'}/{workspace.project}"
    lines = [f"Workspace '{workspace.name}' in {place}: runs {grouped}, by {workspace.settings.x_axis}"]
    for section in workspace.sections:
        lines += [f"  {section.name}", *(f"    {_panel(panel)}" for panel in section.panels)]
    return lines


def _panel(panel: Any) -> str:
    kind = type(panel).__name__.removeprefix("WeavePanel")
    group = getattr(panel, "groupby", None)
    columns = ", ".join(c.display_name for c in getattr(panel, "columns", ()))
    title = getattr(panel, "title", None) or getattr(panel, "table_name", "")
    return f"{kind:<24} {title}" + (f", by {group.name}" if group else "") + (f": {columns}" if columns else "")


def save(workspace: Any) -> str:
    """Create it in the project and return its address.

    Raises:
        UserError: no account, or W&B refuses.
    """
    import wandb

    try:
        if not workspace.entity:
            workspace.entity = wandb.Api().default_entity
        return str(workspace.save().url)
    except Exception as error:  # of many kinds: no key, no network, no project
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"W&B did not take the workspace ({type(error).__name__}: {reason}): `wandb login` first, and send a run "
            "to the project; dry_run=true shows it without an account"
        ) from None


def as_json(workspace: Any) -> str:
    """What would be sent, as W&B's own JSON."""
    return str(workspace._to_model().spec.model_dump_json(by_alias=True, exclude_none=True, indent=1))


__all__: Sequence[str] = ("as_json", "described", "make", "save")
