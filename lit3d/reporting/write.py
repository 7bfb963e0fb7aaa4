"""From a config of `python -m lit3d.report` to a file."""

import os
import sys
import time
from collections.abc import Callable, Mapping
from glob import glob, has_magic
from pathlib import Path
from typing import Any

from lit3d.errors import UserError, did_you_mean
from lit3d.reporting import csv_table, html, markdown, picture
from lit3d.reporting.contents import Contents, gather
from lit3d.reporting.folders import common_folder

HOUR = 3600.0  # no report takes so long
FORMATS: dict[str, Callable[[Contents, str], str | bytes]] = {
    "html": html.render, "md": markdown.render, "csv": csv_table.render, "png": picture.render,
}  # fmt: skip


def report(config: Mapping[str, Any]) -> tuple[Contents, Path | None]:
    """Read, compare, write.

    Args:
        config: `runs` (a path, a pattern, or a list of them), `baseline`, `format`, `output`, `title`.

    Returns:
        What the report says, and its file; None where `output` is `-`, standard output.

    Raises:
        UserError: no runs, an unknown format or baseline, a folder that cannot be written to.
    """
    form = str(config["format"])
    if form not in FORMATS:
        raise UserError(f"format must be one of {', '.join(FORMATS)}, got '{form}'.{did_you_mean(form, FORMATS)}")
    paths = _paths(config["runs"])
    path = None if config["output"] == "-" else _file(paths, config["output"], form)
    if path is None and form in ("html", "png"):
        raise UserError(f"output=- prints a report, which format={form} is not for: give a file, or format=md or csv")
    contents = gather(paths, None if config["baseline"] is None else str(config["baseline"]))
    made = FORMATS[form](contents, str(config["title"] or _title(paths)))
    if path is None:
        sys.stdout.write(str(made))
    else:
        _write(path, made.encode("utf-8") if isinstance(made, str) else made)
    return contents, path


def _paths(given: Any) -> list[Path]:
    if not given:
        raise UserError("runs=... is missing: give a sweep, run folders, or a list [a,b] of them")
    found: list[Path] = []
    for text in map(str, [given] if isinstance(given, str) else given):
        matches = sorted(glob(text)) if has_magic(text) and not Path(text).exists() else [text]
        if not matches:
            raise UserError(f"runs={text}: no folder has such a name")
        found += [Path(m) for m in matches if not has_magic(text) or Path(m).is_dir()]
    return found


def _title(paths: list[Path]) -> str:
    return common_folder([p.resolve() for p in paths]).name


def _file(paths: list[Path], output: Any, form: str) -> Path:
    """`output`, or report.<format> in the folder that holds all that was given."""
    for path in paths:
        if not path.is_dir():
            raise UserError(f"runs={path}: there is no such folder; expected a run folder or a sweep")
    if output is None:
        return common_folder([p.resolve() for p in paths]) / f"report.{form}"
    path = Path(str(output))
    return path / f"report.{form}" if path.is_dir() else path


def _write(path: Path, data: bytes) -> None:
    """Written aside, then renamed: an earlier report is whole until the new one is."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for left in path.parent.glob(f".{path.name}.*"):
            if time.time() - left.stat().st_mtime > HOUR:  # of a process that was killed
                left.unlink()
        with aside.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        aside.replace(path)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise UserError(f"{path} cannot be written ({error.strerror}): give another place with output=FILE") from None
