"""The crash-safe writer of a dataset.

Each finished object lies aside as one file in `.partial/`. When all are there, a marker says so, the shards are put
together in sorted order, the tables follow, and `dataset.json` comes last. Every step is "write aside, force to disk,
rename" and may be repeated, so a process killed anywhere leaves nothing that looks complete, and its successor ends
with the bytes of an undisturbed run.
"""

import contextlib
import itertools
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from lit3d.errors import UserError
from lit3d.synthesis.sources.items import Item
from lit3d.synthesis.store import layout, tables
from lit3d.synthesis.store.archive import DamagedError, read_zip, write_zip
from lit3d.synthesis.store.files import exclusive, remove_tree, rename, storage, sync_folder, write_aside, write_whole
from lit3d.synthesis.store.plan import Plan, differences, read_json, refuse_other
from lit3d.synthesis.store.record import json_bytes

_PLAN, _MARKER = "plan.json", "rendered.json"


def write_object(partial: Path, object_id: str, files: Mapping[str, bytes]) -> Path:
    """Write one finished object aside; `DatasetBuilder.commit` gives it its name. Safe in any process.

    Raises:
        StorageError: the disk is full or refuses.
    """
    path = partial / f"{layout.stable_hash(object_id):016x}-{os.getpid()}.tmp"
    with storage(path.parent):
        write_aside(path, lambda stream: write_zip(stream, sorted(files.items())))
    return path


class DatasetBuilder:
    """Builds the dataset of a plan in a folder; a context manager that keeps other writers out.

    Attributes:
        complete: the dataset is already there: nothing to do.
        partial: where `write_object` puts finished objects.
    """

    def __init__(self, root: Path, plan: Plan, overwrite: bool = False) -> None:
        self.root = Path(root).absolute()
        self.plan, self.overwrite = plan, overwrite
        self.complete = False
        self._home = self.root
        self._exchanged = False  # by `_recover`: the dataset that a predecessor built to overwrite is in its place
        self._exits = contextlib.ExitStack()

    @property
    def partial(self) -> Path:
        """The folder of finished objects."""
        return self._home / layout.PARTIAL

    def __enter__(self) -> Self:
        """Take the lock, mend what a killed predecessor left, and decide where to build.

        Raises:
            UserError: it holds something else, or it cannot be written.
        """
        with storage(self.root):
            self.root.parent.mkdir(parents=True, exist_ok=True)
        lock = self.root.with_name(f".{self.root.name}.lock")
        self._exits.enter_context(exclusive(lock, f"the dataset {self.root}"))
        try:
            with storage(self.root):
                self._recover()
                self._choose_home()
        except BaseException:
            self._exits.close()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self._exits.close()

    def pending(self) -> list[Item]:
        """The objects that are still to be made."""
        if self.complete or (self.partial / _MARKER).exists():
            return []
        there = {path.name for path in self.partial.glob("*.zip")}
        return [item for item in self.plan.items if f"{layout.folder_name(item.object)}.zip" not in there]

    def commit(self, aside: Path, object_id: str) -> None:
        """Make an object written aside count as finished."""
        with storage(self.root):
            rename(aside, self._partial_file(object_id))

    def finish(self, failures: Mapping[str, str], skipped: Iterable[tuple[str, str]] = (),
               attribution: str | None = None) -> dict[str, Any]:
        """Put the dataset together and return the contents of dataset.json.

        Args:
            failures: object -> reason; a predecessor's list is kept where it had come this far.
            skipped: what the source left out before it named its objects, and why.
            attribution: whom to name, for sources that ask for it.

        Raises:
            StorageError: the disk is full or refuses.
            UserError: a finished object turned out to be damaged, or not one object could be made.
        """
        if not self.complete:
            with storage(self.root):
                failures = self._mark(failures)
                made = sorted(item.object for item in self.plan.items if item.object not in failures)
                self._assemble_shards(made) if self.plan.shards else self._unfold(made)
                self._write_tables([*failures.items(), *skipped], attribution)
                remove_tree(self.partial)
                self._take_place()
            self.complete = True
        return read_json(self.root / layout.INFO) or {}

    def _partial_file(self, object_id: str) -> Path:
        return self.partial / f"{layout.folder_name(object_id)}.zip"

    def _beside(self, kind: str) -> Path:
        return self.root.with_name(f".{self.root.name}.{kind}")

    def _recover(self) -> None:
        """Finish an exchange of an old dataset for a new one in which a predecessor was killed."""
        new, old = self._beside("new"), self._beside("old")
        if old.exists() and not self.root.exists():
            self._exchanged = (new / layout.INFO).exists()
            rename(new if self._exchanged else old, self.root)
        if old.exists():
            self._discard(old)

    def _choose_home(self) -> None:
        wanted = self.plan.as_json()
        finished = read_json(self.root / layout.INFO)
        begun = finished or read_json(self.partial / _PLAN)
        if begun is None:
            self._refuse_foreign()
        elif self.overwrite and ((finished and not self._exchanged) or differences(begun, wanted)):
            self._home = self._beside("new")
            self._prepare_beside(wanted)
            return
        else:
            state = "a dataset" if finished else "an unfinished dataset"
            refuse_other(self.root, differences(begun, wanted, lenient=finished is not None), state)
        self.complete = finished is not None
        remove_tree(self.partial) if self.complete else self._start(wanted)

    def _prepare_beside(self, wanted: Mapping[str, Any]) -> None:
        begun = read_json(self._home / layout.INFO) or read_json(self.partial / _PLAN) or {}
        if differences(begun, wanted):
            remove_tree(self._home)
        if (self._home / layout.INFO).exists():  # killed just before the exchange
            remove_tree(self.partial)
            self._take_place()
            self.complete = True
        else:
            self._start(wanted)

    def _start(self, wanted: Mapping[str, Any]) -> None:
        if read_json(self.partial / _PLAN) is None:  # objects of an unknown plan are worth nothing
            remove_tree(self.partial)
        self.partial.mkdir(parents=True, exist_ok=True)
        for rest in self.partial.glob("*.tmp"):
            remove_tree(rest) if rest.is_dir() else rest.unlink()
        if not (self.partial / _PLAN).exists():
            write_whole(self.partial / _PLAN, json_bytes(wanted), self.partial)

    def _refuse_foreign(self) -> None:
        if self.root.is_file():
            raise UserError(f"{self.root} is a file; name a folder for the dataset.")
        others = sorted(p.name for p in self.root.iterdir() if p.name != layout.PARTIAL) if self.root.exists() else []
        if others:
            raise UserError(f"{self.root} holds other files ({', '.join(others[:3])}) and no dataset. "
                            "Name a new or an empty folder.")

    def _mark(self, failures: Mapping[str, str]) -> dict[str, str]:
        """Write down that everything is made, with the failures: from here on shards may replace their objects."""
        marker = read_json(self.partial / _MARKER)
        if marker is not None:
            return marker["failures"]
        if not any(item.object not in failures for item in self.plan.items):
            shown = "; ".join(f"{name}: {reason}" for name, reason in sorted(failures.items())[:3])
            raise UserError(f"Not one of the {len(self.plan.items)} objects of {self.plan.name!r} "
                            f"could be used ({shown}).")
        write_whole(self.partial / _MARKER, json_bytes({"failures": dict(sorted(failures.items()))}), self.partial)
        return dict(failures)

    def _assemble_shards(self, made: Sequence[str]) -> None:
        folder = self._home / layout.SHARDS
        folder.mkdir(exist_ok=True)
        for number in range(self.plan.shards):
            path = folder / layout.shard_file(number)
            members = [name for name in made if layout.shard_number(name, self.plan.shards) == number]
            if not path.exists():
                aside = self.partial / f"shard-{number}.tmp"
                write_aside(aside, lambda stream, members=members: write_zip(stream, self._entries(members)))
                rename(aside, path)
            for name in members:  # only now: the shard is on the disk
                self._partial_file(name).unlink(missing_ok=True)

    def _entries(self, members: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        for folder, name in sorted((layout.folder_name(name), name) for name in members):
            for file, content in self._finished(name).items():
                yield f"{folder}/{file}", content

    def _unfold(self, made: Sequence[str]) -> None:
        """The same tree as plain files. One sync for all at the end: a sync a file takes longer than rendering it."""
        home = self._home / layout.FOLDERS
        home.mkdir(exist_ok=True)
        for name in made:
            folder = layout.folder_name(name)
            if not (home / folder).exists():
                aside = self.partial / f"{folder}.tmp"
                aside.mkdir()
                for file, content in self._finished(name).items():
                    (aside / file).write_bytes(content)
                aside.replace(home / folder)
        if hasattr(os, "sync"):
            os.sync()

    def _finished(self, object_id: str) -> dict[str, bytes]:
        path = self._partial_file(object_id)
        try:
            return read_zip(path)
        except (DamagedError, FileNotFoundError) as error:
            path.unlink(missing_ok=True)
            (self.partial / _MARKER).unlink(missing_ok=True)
            raise UserError(f"The finished object {path} is damaged ({error}) and was removed. "
                            "Run the same command again: it makes this object anew.") from error

    def _write_tables(self, failures: Sequence[tuple[str, str]], attribution: str | None) -> None:
        descriptions = list(tables.descriptions(self._home, self.plan.shards))
        texts = {layout.OBJECTS: tables.objects_csv(descriptions, self.plan.shards),
                 layout.FAILURES: tables.failures_csv(failures)}
        if hollow := tables.hollow(descriptions):
            texts[layout.HOLLOW] = tables.failures_csv(hollow)
        if attribution:
            texts[layout.ATTRIBUTION] = attribution
        for name, text in texts.items():
            write_whole(self._home / name, text.encode(), self.partial)
        info = self.plan.as_json() | tables.summary(descriptions, failures)
        write_whole(self._home / layout.INFO, json_bytes(info, indent=2), self.partial)

    def _take_place(self) -> None:
        """Exchange the dataset that was built beside for the old one; the old one goes last."""
        if self._home == self.root:
            return
        old = self._beside("old")
        self.root.replace(old)
        rename(self._home, self.root)
        self._home = self.root
        self._discard(old)

    def _discard(self, folder: Path) -> None:
        """Remove what this package wrote into `folder`; what someone else put there is kept beside the dataset."""
        for name in layout.TOP_LEVEL:
            path = folder / name
            remove_tree(path) if path.is_dir() else path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            folder.rmdir()
        if folder.exists():
            names = (self.root.with_name(f"{self.root.name}.kept{number or ''}") for number in itertools.count())
            folder.replace(next(name for name in names if not name.exists()))
        sync_folder(self.root.parent)
