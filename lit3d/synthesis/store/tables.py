"""The tables beside the objects, made from what each object's own description says."""

import csv
import io
import json
import mmap
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lit3d.synthesis.store import layout
from lit3d.synthesis.store.archive import Directory

Description = dict[str, Any]


def descriptions(home: Path, shards: int) -> Iterator[Description]:
    """Every object's object.json, shard by shard, or folder by folder where `shards` is 0."""
    if not shards:
        for folder in sorted(path for path in (home / layout.FOLDERS).iterdir() if path.is_dir()):
            yield json.loads((folder / "object.json").read_bytes())
    for number in range(shards):
        path = home / layout.SHARDS / layout.shard_file(number)
        with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            yield from _in_shard(memoryview(mapped), path)


def _in_shard(buffer: memoryview, path: Path) -> list[Description]:
    with buffer:  # released before the map is closed
        directory = Directory(buffer, path)
        return [json.loads(bytes(directory.find(folder, "object.json")[0])) for folder in directory.folders()]


def objects_csv(objects: Sequence[Description], shards: int) -> str:
    """One row an object, sorted by id: the columns `layout.ROW`, then one a fact."""
    facts = sorted({key for entry in objects for key in entry["facts"]})
    rows = []
    for entry in sorted(objects, key=lambda entry: entry["object"]):
        shard = layout.shard_file(layout.shard_number(entry["object"], shards)) if shards else ""
        how = entry.get("occupancy", {}).get("method", "")
        known = entry | {"shard": shard, "views": len(entry["cameras"]), "occupancy": how}
        rows.append([known[key] for key in layout.ROW] + [entry["facts"].get(key, "") for key in facts])
    return _csv([*layout.ROW, *(f"fact_{key}" if key in layout.ROW else key for key in facts)], rows)


def failures_csv(failures: Iterable[tuple[str, str]]) -> str:
    """One row an object that is not in the dataset, and why."""
    return _csv(["object", "reason"], sorted(failures))


def hollow(objects: Iterable[Description]) -> list[tuple[str, str]]:
    """(object, reason) of every object of which nobody knows what is inside."""
    found = ((entry["object"], entry.get("occupancy", {}).get("failure")) for entry in objects)
    return [(name, reason) for name, reason in found if reason]


def summary(objects: Sequence[Description], failures: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """What dataset.json tells beside the plan: counts, categories, and how the views came out."""
    views = sum(len(entry["cameras"]) for entry in objects)
    values = [len(entry["posterior"]["values"]) for entry in objects if "posterior" in entry]
    return {
        **({"posterior_values": max(values)} if values else {}),
        "categories": sorted({entry["category"] for entry in objects}),
        "counts": {"objects": len(objects), "views": views, "failures": len(failures),
                   "splits": _counted(entry["split"] for entry in objects),
                   "categories": _counted(entry["category"] for entry in objects),
                   **({"occupancy": how} if (how := _counted(_method(entry) for entry in objects)) != {"": len(objects)}
                      else {})},
        "statistics": {
            "mean_dropped_share": _rounded(np.mean([entry["dropped_share"] for entry in objects])),
            "border_views": sum(entry["touches_border"] for entry in objects),
            "median_fill": _rounded(np.median([c["fill"] for entry in objects for c in entry["cameras"]])),
        },
    }


def _method(entry: Description) -> str:
    about = entry.get("occupancy", {})
    return "failed" if "failure" in about else about.get("method", "")


def _counted(values: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(values).items()))


def _rounded(value: np.floating) -> float:
    return round(float(value), 6)


def _csv(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return stream.getvalue()
