"""One dataset made by several processes or machines on one disk, each its share of the objects.

Which share an object belongs to follows from its id. Objects are finished aside, as in a single run; whoever comes last
puts the dataset together, with the bytes of a single run.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lit3d.errors import UserError
from lit3d.synthesis.pipeline import Progress, SynthesisSettings, _Job, _make
from lit3d.synthesis.sources.items import Item, Source
from lit3d.synthesis.store import DatasetBuilder, Plan
from lit3d.synthesis.store.files import exclusive, rename, storage, write_whole
from lit3d.synthesis.store.layout import folder_name, stable_hash
from lit3d.synthesis.store.plan import read_json
from lit3d.synthesis.store.record import json_bytes
from lit3d.synthesis.workers import cores, outcomes


@dataclass(frozen=True)
class ShareReport:
    """What one share came to.

    Attributes:
        path: of the dataset.
        made: objects that this call rendered.
        failures: meshes of this share that cannot be used.
        missing: numbers of the shares that are not done; empty when this call put the dataset together or found it.
    """

    path: Path
    made: int
    failures: int
    missing: tuple[int, ...]


def synthesize_share(source: Source, root: str | Path, settings: SynthesisSettings, share: int, shares: int,
                     progress: Callable[[Progress], None] = lambda _: None) -> ShareReport:
    """Render the objects of one share; put the dataset together if no other share is missing.

    Args:
        source: where meshes come from.
        root: folder of the dataset: new, empty, or holding the same dataset begun or complete.
        settings: what to make of each mesh.
        share: number of this one, from 0.
        shares: how many there are, the same in all calls.
        progress: called at the start and after each object.

    Raises:
        UserError: no such share, the folder holds something else, the disk is full.
    """
    if not 0 <= share < shares:
        raise UserError(f"shard must lie between 0 and shards - 1 = {shares - 1}, got {share}")
    plan = Plan(source.name, source.fingerprint(), settings.recorded(), source.items(), settings.layout)
    with DatasetBuilder(Path(root), plan) as builder:  # held for a moment: to check, and to clean up
        if builder.complete:
            return ShareReport(builder.root, 0, 0, ())
        pending = [item for item in builder.pending() if stable_hash(item.object) % shares == share]
    own = builder.partial / f"share-{share}-of-{shares}"  # aside of what others clean up
    with exclusive(own.with_suffix(".lock"), f"shard {share} of {builder.root}"), storage(builder.root):
        own.mkdir(exist_ok=True)
        failures = _render(source, settings, pending, own, builder.partial, progress)
        write_whole(own.with_suffix(".json"), json_bytes({"failures": failures}), own)
    with DatasetBuilder(Path(root), plan) as builder:
        notes = {n: read_json(builder.partial / f"share-{n}-of-{shares}.json") for n in range(shares)}
        missing = tuple(n for n, note in notes.items() if note is None)
        if builder.complete or missing:
            return ShareReport(builder.root, len(pending), len(failures), () if builder.complete else missing)
        every = {name: reason for note in notes.values() if note for name, reason in note["failures"].items()}
        builder.finish(every, source.skipped(), source.attribution())
    return ShareReport(builder.root, len(pending), len(failures), ())


def _render(source: Source, settings: SynthesisSettings, pending: list[Item], own: Path, partial: Path,
            progress: Callable[[Progress], None]) -> dict[str, str]:
    """Finish the objects aside; returns those that cannot be used and why."""
    failures: dict[str, str] = {}
    workers = settings.workers or int(os.environ.get("OMP_NUM_THREADS", cores()))  # launchers share the cores out so
    progress(Progress(0, len(pending), 0, 0))
    for done, outcome in enumerate(outcomes(_make, _Job(source, settings, own), pending, workers), 1):
        name = outcome.task.object
        if outcome.reason is None:
            rename(outcome.value, partial / f"{folder_name(name)}.zip")
        else:
            failures[name] = outcome.reason
        progress(Progress(done, len(pending), (done - len(failures)) * settings.views, len(failures)))
    return failures
