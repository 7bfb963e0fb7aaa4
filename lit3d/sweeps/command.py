"""Which folder a sweep works in: a new one, or the one that the same command began and did not finish.

Nothing here imports torch. The record of a sweep is `sweep.json` in its folder:

    {"command": "run", "arguments": ["loss=cd,emd", "seed=0,1"], "began": "2026-11-26T10:00:00.123456", "state": null}

`state` is null while it runs and after a kill, then `finished`, `failed` (of some jobs) or `interrupted`.
"""

import json
import os
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from lit3d.errors import UserError

RECORD = "sweep.json"
HOME = Path("multirun")
INFORMING = ("--cfg", "-c", "--info", "-i", "--hydra-help", "--shell-completion", "-sc", "--version")  # run nothing
WHERE = ("hydra/launcher=", "hydra.launcher.", "hydra.sweep.dir=")  # where jobs run does not change what they are


@dataclass(frozen=True)
class Sweep:
    """A sweep that is about to run.

    Attributes:
        command: the entry point: run, evaluate, synthesize.
        arguments: what the user typed behind it, without -m, sweep.* and where jobs run.
        folder: its own folder.
        began: when its first start was.
        continued: whether an earlier start of it is continued.
    """

    command: str
    arguments: tuple[str, ...]
    folder: Path
    began: str
    continued: bool

    def write(self, state: str | None = None) -> None:
        """The record, whole at every moment."""
        self.folder.mkdir(parents=True, exist_ok=True)
        record = {"command": self.command, "arguments": self.arguments, "began": self.began, "state": state}
        write_json(self.folder / RECORD, record)


def write_json(path: Path, value: Any) -> None:
    """Write aside, flush, rename; without the imports of `lit3d.callbacks`."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    with aside.open("w", encoding="utf-8") as stream:
        stream.write(json.dumps(value, indent=1) + "\n")
        stream.flush()
        os.fsync(stream.fileno())
    aside.replace(path)


def prepare(command: str, argv: Sequence[str]) -> tuple[list[str], Sweep | None]:
    """The command line as Hydra is to see it, and the sweep that it begins or continues: None for a single run.

    Raises:
        UserError: `sweep.resume` names no sweep, or another one than the arguments beside it.
    """
    resume = _value(argv, "sweep.resume")
    multirun = {"-m", "--multirun", "hydra.mode=MULTIRUN"} & set(argv) or resume not in (None, "", "null")
    if not multirun or set(argv) & set(INFORMING):
        return list(argv), None
    given = [a for a in argv if a not in ("-m", "--multirun", "hydra.mode=MULTIRUN") and not a.startswith("sweep.")]
    named = _value(given, "hydra.sweep.dir")
    if named is not None and "${" in named:  # only Hydra knows where that is
        return list(argv), None
    arguments = tuple(a for a in given if not a.startswith(WHERE))
    where = [a for a in given if a.startswith(WHERE) and not a.startswith("hydra.sweep.dir=")]
    if resume not in (None, "", "null"):
        sweep = _resumed(command, arguments, Path(resume))  # type: ignore[arg-type]
    else:
        fresh = (_value(argv, "sweep.fresh") or "").lower() == "true"
        sweep = _same(command, arguments, None if named is None else Path(named), fresh)
    folder = str(sweep.folder).replace("\\", "\\\\").replace("'", "\\'")
    return ["-m", f"hydra.sweep.dir='{folder}'", *where, *sweep.arguments], sweep


def _value(argv: Sequence[str], key: str) -> str | None:
    """The last value given to a key, without quotes."""
    values = [a.split("=", 1)[1] for a in argv if a.startswith(f"{key}=")]
    return values[-1].strip("'\"") if values else None


def read(folder: Path) -> dict[str, Any] | None:
    """The record of a sweep's folder, or None."""
    try:
        return json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _resumed(command: str, arguments: tuple[str, ...], folder: Path) -> Sweep:
    record = read(folder)
    if record is None:
        raise UserError(f"sweep.resume={folder}: there is no sweep ({RECORD}) in that folder")
    if record["command"] != command:
        raise UserError(f"sweep.resume={folder}: that sweep is continued by python -m lit3d.{record['command']}")
    if arguments and list(arguments) != record["arguments"]:
        raise UserError(
            f"sweep.resume={folder}: that sweep is '{' '.join(record['arguments'])}', but "
            f"'{' '.join(arguments)}' is asked for: give the folder alone"
        )
    return Sweep(command, tuple(record["arguments"]), folder, record["began"], True)


def _same(command: str, arguments: tuple[str, ...], named: Path | None, fresh: bool) -> Sweep:
    """The newest sweep of the same command that is not finished; else, and with `sweep.fresh=true`, a new one."""
    now = datetime.now()
    new = HOME / f"{now:%Y-%m-%d_%H-%M-%S}_{uuid.uuid4().hex[:4]}" if named is None else named
    homes = [named] if named is not None else sorted(HOME.glob(f"*/{RECORD}")) if HOME.is_dir() else []
    folders = [path if path.is_dir() else path.parent for path in homes]
    found = [(record["began"], folder) for folder in folders if (record := read(folder)) is not None
             and (record["command"], record["arguments"]) == (command, list(arguments))
             and (named is not None or record["state"] != "finished")]  # fmt: skip
    if found and not fresh:
        began, folder = max(found)
        return Sweep(command, arguments, folder, began, True)
    return Sweep(command, arguments, new, now.isoformat(), False)
