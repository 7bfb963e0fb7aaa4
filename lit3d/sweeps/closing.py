"""What a sweep says when it ends: every job, which failed and why, and how to go on."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from lit3d.sweeps.command import Sweep
from lit3d.sweeps.jobs import read_status

MARKS = {"finished": "green", "failed": "red", "cut short": "yellow"}


@dataclass(frozen=True)
class Row:
    """A job: its number, what it varied, how it ended, its score, seconds, and why it failed."""

    number: int
    folder: Path
    varied: str
    state: str
    score: float | None
    seconds: float | None
    reason: str | None


def rows(folder: Path) -> list[Row]:
    """All jobs that have begun, by number."""
    found = []
    for path in folder.iterdir() if folder.is_dir() else ():
        number = re.match(r"(\d+)(_|$)", path.name)
        if number and path.is_dir():
            status = read_status(path)
            found.append((int(number[1]), path, status))
    overrides = {path: _overrides(path) for _, path, _ in found}
    common = set.intersection(*map(set, overrides.values())) if len(found) > 1 else set()
    return [Row(number, path, " ".join(o for o in overrides[path] if o not in common), *_facts(status))
            for number, path, status in sorted(found, key=lambda entry: entry[0])]  # fmt: skip


def _overrides(path: Path) -> list[str]:
    record = path / ".hydra" / "overrides.yaml"
    if not record.is_file():
        return []
    import yaml

    return [str(line) for line in yaml.safe_load(record.read_text(encoding="utf-8")) or []]


def _facts(status: dict[str, Any]) -> tuple[str, float | None, float | None, str | None]:
    state = status.get("status", "running")
    if "refused" in status:
        return "failed", None, None, status["refused"]
    if state == "running":
        return "cut short", None, None, "its process ended without a word: it was killed, or had no memory left"
    return state, status.get("score"), status.get("seconds"), status.get("reason")


def close(sweep: Sweep, stopped: str | None) -> int:
    """Print the closing table, write the sweep's record.

    Args:
        sweep: the sweep.
        stopped: what ended it before all its jobs had run, None when all have.

    Returns:
        The exit code: 0 when all jobs are finished, else 1.
    """
    jobs = rows(sweep.folder)
    bad = [job for job in jobs if job.state != "finished"]
    state = ("interrupted" if stopped else None) or ("failed" if bad or not jobs else "finished")
    try:
        sweep.write(state)
    except OSError as error:
        print(f"{sweep.folder} cannot be written: {error}")
    if jobs:
        _print(jobs, sweep, stopped)
    return int(state != "finished")


def _print(jobs: list[Row], sweep: Sweep, stopped: str | None) -> None:
    console = Console()
    console = Console(width=max(console.width, 100))  # a log file has no width of its own
    table = Table(box=box.SIMPLE, pad_edge=False)
    scored = any(job.score is not None for job in jobs)
    for head in ("", "varied", "ended", *(("score",) if scored else ()), "s"):
        table.add_column(head, justify="right" if head in ("", "score", "s") else "left")
    for job in jobs:
        score = () if not scored else ("-" if job.score is None else f"{job.score:.3f}",)
        seconds = "-" if job.seconds is None else f"{job.seconds:.0f}"
        table.add_row(str(job.number), job.varied, f"[{MARKS.get(job.state, '')}]{job.state}[/]", *score, seconds)
    finished = sum(job.state == "finished" for job in jobs)
    console.print(f"\nSweep: {finished} of {len(jobs)} jobs finished", style="bold", highlight=False)
    console.print(table, highlight=False)
    for job in (j for j in jobs if j.state != "finished"):
        console.print(f"job {job.number} {job.state}: {job.reason}", highlight=False, markup=False, soft_wrap=True)
        console.print(f"      {job.folder}", highlight=False, markup=False, soft_wrap=True)
    if stopped:
        console.print(f"Stopped before all jobs had run: {stopped}", highlight=False, markup=False, soft_wrap=True)
    if stopped or finished < len(jobs):
        again = f"python -m lit3d.{sweep.command} sweep.resume={sweep.folder}"
        console.print(f"Go on      {again}   (or the same command)", highlight=False, markup=False, soft_wrap=True)
    else:
        console.print(f"Runs       {sweep.folder}", highlight=False, markup=False, soft_wrap=True)
