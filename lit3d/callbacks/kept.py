"""What is found once for a dataset and kept beside it, under everything that it depends on."""

import hashlib
import json
import logging
import os
import uuid
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from lit3d.synthesis.store import layout

log = logging.getLogger(__name__)
FORMAT = 1  # rises when the way that a row is found changes

Arrays = dict[str, np.ndarray]


def kept(data: Any, name: str, depends: Mapping[str, Any], find: Callable[[], Arrays]) -> Arrays:
    """Arrays of `references/<name>_<key>.npz` in the dataset's folder, found and written there by the first who asks.

    The key is a hash of the dataset's content and of `depends`, so that a rebuilt or shortened dataset, another frame
    or another count never meets an old file. Files are written aside, then renamed: processes that write at once do no
    harm. Where the folder cannot be written, everything is found anew each time.

    Args:
        data: a data module that is set up.
        name: what is kept, for people.
        depends: plain values, all that `find` depends on beside the dataset's bytes; `of_rows` says it of views.
        find: finds the arrays.
    """
    facts = json.dumps({"format": FORMAT, "dataset": data.opened.fingerprint, **depends}, sort_keys=True)
    path = data.root / layout.REFERENCES / f"{name}_{_digest(facts)}.npz"
    arrays = _read(path, facts)
    if arrays is None:
        arrays = _patiently(name, find)
        try:
            _write(path, arrays | {"facts": np.array(facts)})
        except OSError as error:
            log.warning("%s cannot be written (%s): the reference rows are found anew in each run", path, error)
    return arrays


def _patiently(name: str, find: Callable[[], Arrays]) -> Arrays:
    """`find()`, which may take some seconds, and a word on why: it moves in a terminal and is a line elsewhere."""
    console = Console(stderr=True)
    text = f"reference rows: finding {name.replace('_', ' ')}, once for this dataset"
    if not console.is_terminal:
        console.print(text, highlight=False, soft_wrap=True)
    with console.status(text):
        return find()


def of_rows(rows: Sequence[tuple[str, int]]) -> str:
    """A short text that is equal for equal lists of (object, view): limits, subsets and view counts all end there."""
    return _digest(json.dumps(list(rows)))


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _read(path: Path, facts: str) -> Arrays | None:
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = dict(stored)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):  # none yet, or damaged: found again and replaced
        return None
    return arrays if str(arrays.pop("facts", "")) == facts else None


def _write(path: Path, arrays: Arrays) -> None:
    path.parent.mkdir(exist_ok=True)
    aside = path.with_name(f".{path.stem}.{uuid.uuid4().hex}")
    try:
        with aside.open("wb") as stream:
            np.savez(stream, **arrays)  # type: ignore[arg-type]
            stream.flush()
            os.fsync(stream.fileno())
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
