"""What a run says when it ends: scores beside their reference rows, where everything lies, what to try next."""

import os
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from lit3d.callbacks.rows import RETRIEVALS

HEADS = {
    "fscore_1pct": "F 1 %", "fscore_2pct": "F 2 %", "fscore_5pct": "F 5 %", "precision_5pct": "P 5 %",
    "recall_5pct": "R 5 %", "chamfer_l1": "CD-L1", "chamfer_l2sq": "CD-L2²", "emd": "EMD",
    "normal_consistency": "NC",
}  # fmt: skip
COLUMNS = tuple(HEADS)
NAMES = {"mean_shape": "mean shape", "clustering": "clustering", "retrieval": "retrieval by pixels",
         "retrieval_by_features": "retrieval by features", "oracle": "oracle retrieval",
         "truth_resampled": "truth resampled"}  # fmt: skip


def print_summary(summary: dict[str, Any], folder: Path, best: str | None) -> None:
    """Tables of all test splits and a few lines of paths and commands, on standard output."""
    console = Console()
    console = Console(width=max(console.width, 100))  # a log file has no width of its own
    for split in ("test", "test_authors"):
        if split in summary:
            console.print()
            console.print(_split_table(summary, split))
    print("\n".join(_closing_lines(summary, folder, best)))


def _split_table(summary: dict[str, Any], split: str) -> Table:
    columns = [c for c in COLUMNS if c in summary[split]]
    n, m = summary["counts"]["n"], summary["counts"]["m"]
    title = f"{split}: {n} points against {m:,}, mean over images, unit = longest side"
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE, pad_edge=False)
    table.add_column("", no_wrap=True)
    for column in columns:
        table.add_column(HEADS[column], justify="right", no_wrap=True)
    label = f"{summary['model']}, {'+'.join(summary['loss'])}"
    table.add_row(label, *(_number(c, summary[split][c]) for c in columns), style="bold")
    for name, row in summary.get("references", {}).get(split, {}).items():
        table.add_row(NAMES[name], *(_number(c, row["mean"].get(c)) for c in columns), style="dim")
    gap = summary.get(f"{split}_gap_closed", {})
    if gap:
        shares = (f"{gap[c]:.0%}" if c in gap else "-" for c in columns)
        table.add_row("gap closed", *shares, style="bold")
    for category, row in summary[f"{split}_by_class"].items():
        table.add_row(f"  {category}", *(_number(c, row[c]) for c in columns))
    caption = f"failures {summary[f'{split}_failures']}, coverage {summary[f'{split}_coverage']:.1%}"
    gains = {name: summary.get(f"{split}_beats_{name}", {}).get("fscore_5pct") for name in RETRIEVALS}
    if found := {name: gain for name, gain in gains.items() if gain}:
        stronger = min(found, key=lambda name: found[name]["mean"])
        caption += "\n" + _verdict(stronger, found[stronger])
    table.caption, table.caption_justify = caption, "left"
    return table


def _verdict(name: str, gain: dict[str, float]) -> str:
    """Against the stronger retrieval: beating the weaker one says little."""
    answer = "yes" if gain["low"] > 0 else "no" if gain["high"] < 0 else "cannot be told"
    interval = f"{gain['low']:+.3f} to {gain['high']:+.3f}"
    return f"beats {NAMES[name]}? {answer}: F 5 % {gain['mean']:+.3f} (95 % interval {interval})"


def _short(path: str | Path) -> str:
    """Relative to where the command was started, where that is shorter."""
    relative = os.path.relpath(path)
    return relative if len(relative) < len(str(path)) else str(path)


def _closing_lines(summary: dict[str, Any], folder: Path, best: str | None) -> list[str]:
    seconds = summary["seconds"]
    lines = [
        "",
        f"{summary['steps']} steps; data {seconds['data']:.0f} s, training {seconds['training']:.0f} s, "
        f"test {seconds['test']:.0f} s",
        f"Pictures   {_short(folder / 'media')}",
        f"Numbers    {_short(folder)}/results.json, per_sample.csv, metrics.csv",
    ]
    if best:
        lines += [
            f"Weights    {_short(best)}",
            f"Try next   python -m lit3d.predict checkpoint={_short(best)} image=photo.jpg",
        ]
    return [*lines, "           python -m lit3d.run -m loss=cd,emd seed=0,1"]


def _number(column: str, value: float | None) -> str:
    if value is None:
        return "-"
    digits = {"chamfer_l2sq": 5, "chamfer_l1": 4, "emd": 4}.get(column, 3)
    return f"{value:.{digits}f}"
