"""The tables of a dataset on disk: what it is, and which objects it has."""

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lit3d.errors import UserError
from lit3d.synthesis.store import layout

_MAKE = "`python -m lit3d.synthesize --help` says how to make one."
AGAIN = "Copy it anew, or make the dataset again with overwrite=true."


@dataclass(frozen=True, slots=True)
class ObjectRow:
    """A line of objects.csv: identity and how the object came out; `facts` holds the further columns as text.

    `occupancy` says how inside was told from outside; it is empty where that is not known.
    """

    object: str
    category: str
    split: str
    shard: str
    views: int
    faces: int
    dropped_share: float
    touches_border: int
    facts: dict[str, str]
    occupancy: str = ""


def dataset_info(root: Path) -> dict[str, Any]:
    """Contents of dataset.json.

    Raises:
        UserError: no folder, no complete dataset in it, another version, or damaged.
    """
    path = root / layout.INFO
    if not root.is_dir():
        raise UserError(f"There is no dataset at {root}: no such folder. {_MAKE}")
    if not path.exists():
        if (root / layout.PARTIAL).exists():
            raise UserError(f"The dataset {root} is not finished. Run the `python -m lit3d.synthesize` command that "
                            "began it once more: it continues where it stopped.")
        held = ", ".join(sorted(entry.name for entry in root.iterdir())[:3]) or "nothing"
        raise UserError(f"{root} is no lit3d dataset: it holds {held}, but no {layout.INFO}. {_MAKE}")
    try:
        info = json.loads(path.read_bytes())
        kind, version = info["format"], info["version"]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged ({error}). Make the dataset again in another folder.") from error
    if kind != layout.FORMAT or version != layout.VERSION:
        raise UserError(f"{path} says {kind!r} version {version}; this lit3d reads {layout.FORMAT!r} version "
                        f"{layout.VERSION}. Make the dataset again with overwrite=true, or use the lit3d that made it.")
    return info


def listed_objects(root: Path, expected: int) -> list[ObjectRow]:
    """The lines of objects.csv.

    Raises:
        UserError: missing or damaged, or not so many as `expected`.
    """
    path = root / layout.OBJECTS
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            rows = [_object_row(entry) for entry in csv.DictReader(stream)]
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing. {AGAIN}") from error
    except (ValueError, KeyError, TypeError, csv.Error) as error:
        raise UserError(f"{path} is damaged ({error}). {AGAIN}") from error
    if len(rows) != expected:
        raise UserError(f"{path} lists {len(rows)} objects, {layout.INFO} says {expected}: it was truncated or "
                        f"changed. {AGAIN}")
    return rows


def _object_row(entry: dict[str, str]) -> ObjectRow:
    facts = {key: value for key, value in entry.items() if key not in layout.ROW}
    return ObjectRow(entry["object"], entry["category"], entry["split"], entry["shard"], int(entry["views"]),
                     int(entry["faces"]), float(entry["dropped_share"]), int(entry["touches_border"]),
                     facts, entry.get("occupancy", ""))
