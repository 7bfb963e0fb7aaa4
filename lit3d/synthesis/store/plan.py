"""What a dataset is made from: enough to continue it, and to refuse to mix it with something else."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lit3d.errors import UserError
from lit3d.synthesis.sources.items import Item
from lit3d.synthesis.store.layout import FORMAT, VERSION, shard_count
from lit3d.synthesis.store.record import plain

ADDED = ("queries", "near_queries", "near_sigma")  # settings that finished datasets may lack: what they give is absent
COMPARED = ("format", "version", "name", "layout", "source", "settings", "items")


@dataclass(frozen=True)
class Plan:
    """The contents of a dataset, before it is made.

    Attributes:
        name: of the source.
        source: its fingerprint.
        settings: everything that the bytes depend on.
        items: the objects, each once.
        layout: "shards" or "folders".

    Raises:
        UserError: no objects, or one named twice.
    """

    name: str
    source: Mapping[str, Any]
    settings: Mapping[str, Any]
    items: Sequence[Item]
    layout: str

    def __post_init__(self) -> None:
        if not self.items:
            raise UserError(f"The source {self.name!r} has no objects. Check its folder and its filters.")
        name, times = Counter(item.object for item in self.items).most_common(1)[0]
        if times > 1:
            raise UserError(f"The source {self.name!r} names {times} objects {name!r}; "
                            "every object needs its own name.")

    @property
    def shards(self) -> int:
        """How many shards; 0 in plain folders."""
        return shard_count(len(self.items)) if self.layout == "shards" else 0

    def as_json(self) -> dict[str, Any]:
        """The plan as it stands in dataset.json; the objects as a count and a digest."""
        lines = sorted(json.dumps(plain([item.object, item.category, item.split, item.facts]), sort_keys=True)
                       for item in self.items)
        digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]
        return {"format": FORMAT, "version": VERSION, "name": self.name, "layout": self.layout, "shards": self.shards,
                **{key: self.settings[key] for key in ("image_size", "views", "points") if key in self.settings},
                "source": plain(self.source), "settings": plain(self.settings),
                "items": {"count": len(self.items), "digest": digest}}


def differences(there: Mapping[str, Any], wanted: Mapping[str, Any], lenient: bool = False) -> list[str]:
    """Sentences such as `settings.views: 12 there, 24 asked for`, one for each of the two plans' keys that differs.

    `lenient` lets a dataset pass that was made before the settings of `ADDED` were there.
    """
    before, after = (_flat({key: plan[key] for key in COMPARED if key in plan}) for plan in (there, wanted))
    if lenient:
        added = {f"settings.{key}" for key in ADDED} - set(before)
        after = {key: value for key, value in after.items() if key not in added}
    return [f"{key}: {_shown(before, key)} there, {_shown(after, key)} asked for"
            for key in sorted(set(before) | set(after)) if before.get(key) != after.get(key)]


def refuse_other(root: Path, found: list[str], state: str) -> None:
    """Raise where `differences` found any.

    Raises:
        UserError: naming what differs and the ways out.
    """
    if found:
        more = f" and {len(found) - 4} more" if len(found) > 4 else ""
        raise UserError(f"{root} holds {state} made otherwise ({'; '.join(found[:4])}{more}). "
                        "Choose another folder, or pass overwrite=true: the new one is built beside it and takes its "
                        "place when it is complete.")


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in a JSON file, or None where there is no such file or it is damaged."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def _flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, item in value.items():
        flat |= _flat(item, f"{prefix}{key}.") if isinstance(item, Mapping) and item else {f"{prefix}{key}": item}
    return flat


def _shown(flat: Mapping[str, Any], key: str) -> str:
    return repr(flat[key]) if key in flat else "absent"
