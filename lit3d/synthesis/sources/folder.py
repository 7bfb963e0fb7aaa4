"""A folder of mesh files as a source; ShapeNetCore's layouts are recognised as they are."""

import csv
import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from lit3d.errors import UserError
from lit3d.synthesis.loading import MAX_FACES, OPTIONAL_SUFFIXES, SUFFIXES, check_suffix, load_mesh
from lit3d.synthesis.shape import Shape, UnusableMeshError
from lit3d.synthesis.sources import shapenet
from lit3d.synthesis.sources.items import (
    DEFAULT_SPLIT,
    SPLITS,
    Item,
    checked_ratios,
    chosen,
    slug,
    split_at,
    stable_fraction,
)

_COLUMNS = ("file", "category", "split")


@dataclass(frozen=True)
class _Found:
    """Items of a folder, and (file, reason) of what was left out."""

    items: list[Item]
    skipped: list[tuple[str, str]]


class FolderSource:
    """Every mesh below a folder; its sub-folder is its category ("object" for files directly in the folder).

    Args:
        root: folder of .obj .ply .off .stl .glb .gltf files (.dae .3mf where the extra is installed), or a
            ShapeNetCore folder, v1 or v2: there the category is the name of the synset.
        table: CSV with the columns file (relative to `root`), category and split: only its files are used; an
            empty category or split is settled as without a table. Further columns become facts (creator, licence).
        categories: which categories; None for all.
        split: shares of train, val and test. An object's split depends on its name and `seed` alone, so that new
            files do not move old ones.
        seed: another seed gives another split.
        max_faces: meshes with more faces are not used.
        up: axis that points up in the files, "y" or "z".
    """

    name = "folder"

    def __init__(
        self,
        root: str | Path,
        table: str | Path | None = None,
        categories: Sequence[str] | None = None,
        split: tuple[float, float, float] = DEFAULT_SPLIT,
        seed: int = 0,
        max_faces: int = MAX_FACES,
        up: str = "y",
    ) -> None:
        self.root = Path(root).expanduser()
        self.table = Path(table).expanduser() if table is not None else None
        if not self.root.is_dir():
            raise UserError(f"the mesh folder {str(root)!r} is not there or not a folder; set data.root to one")
        if self.table is not None and not self.table.is_file():
            raise UserError(f"the table {str(table)!r} is not there; it must be a CSV with file,category,split")
        if up not in ("y", "z"):
            raise UserError(f"up must be 'y' or 'z', got {up!r}")
        self.categories = list(categories) if categories is not None else None
        self.split, self.seed = checked_ratios(split), int(seed)
        self.max_faces, self.up = int(max_faces), up

    def items(self) -> list[Item]:
        """All meshes, sorted by file name."""
        return chosen(self._found.items, self.categories, f"the mesh folder {str(self.root)!r}")

    def skipped(self) -> list[tuple[str, str]]:
        """Files that no installed reader can read, and models that ShapeNet v1 lists twice."""
        return list(self._found.skipped)

    def load(self, item: Item) -> Shape:
        """Read and clean the mesh."""
        shape = load_mesh(self.root / item.facts["file"], max_faces=self.max_faces)
        if self.up == "z":  # (x, y, z) -> (x, z, -y): a turn about x, no mirror
            shape = replace(shape, vertices=np.ascontiguousarray(shape.vertices[:, [0, 2, 1]] * [1.0, 1.0, -1.0]))
        return shape

    def attribution(self) -> str | None:
        """ShapeNet's terms, or the creators and licences that the table names."""
        if self._synsets:
            return shapenet.ATTRIBUTION
        known = ("name", "creator", "licence", "license", "url")
        credits = [(i.object, "; ".join(i.facts[k] for k in known if i.facts.get(k))) for i in self.items()]
        lines = [f"{name}: {text}\n" for name, text in credits if text]
        return "Meshes by, and under the licence of:\n" + "".join(lines) if lines else None

    def fingerprint(self) -> dict[str, str]:
        """Names and sizes of the files, not their content: ShapeNet has 50,000 of them."""
        digest = hashlib.sha256()
        items = self.items()
        for item in items:
            path = self.root / item.facts["file"]
            digest.update(f"{item.facts['file']}\t{path.stat().st_size}\t{item.category}\t{item.split}\n".encode())
        return {"source": self.name, "objects": str(len(items)), "content": digest.hexdigest()[:16], "up": self.up}

    @cached_property
    def _synsets(self) -> list[Path]:
        return shapenet.synset_folders(self.root)

    @cached_property
    def _found(self) -> _Found:
        rows = self._table_rows() if self.table is not None else self._walked_rows()
        items, skipped = [], []
        for row in rows:
            reason = self._unreadable(self.root / row["file"])
            if reason is None:
                items.append(self._item(row))
            else:
                skipped.append((row["file"], reason))
        _check_distinct(items)
        if not items:
            raise UserError(self._nothing_found(skipped))
        return _Found(items, skipped)

    def _item(self, row: dict[str, str]) -> Item:
        path = Path(row["file"])
        category, name = self._identity(path)
        category = row.get("category") or category
        split = row.get("split") or split_at(stable_fraction("folder split", self.seed, name), self.split)
        facts = {key: value for key, value in row.items() if key not in ("category", "split") and value}
        return Item(name, slug(category), split, facts)

    def _identity(self, path: Path) -> tuple[str, str]:
        """Category and object id of a file by its place below the root."""
        if self._synsets and len(path.parts) > 2 and path.parts[0] in {p.name for p in self._synsets}:
            synset, model = path.parts[:2]
            return shapenet.SYNSETS.get(synset, synset), slug(f"{synset}-{model}")
        category = path.parts[0] if len(path.parts) > 1 else "object"
        return category, slug("-".join(path.with_suffix("").parts))

    def _unreadable(self, path: Path) -> str | None:
        try:
            check_suffix(path.suffix.lower())
        except UnusableMeshError as error:
            return str(error)
        parts = path.relative_to(self.root).parts
        if self._synsets and shapenet.is_duplicate(self.root, *parts[:2]):
            return f"the same model is listed under {shapenet.DUPLICATES[parts[0]]}"
        return None

    def _walked_rows(self) -> Iterator[dict[str, str]]:
        models = (path for folder in self._synsets for path in shapenet.model_files(folder))
        files = models if self._synsets else sorted(_mesh_files(self.root))
        return ({"file": path.relative_to(self.root).as_posix()} for path in files)

    def _table_rows(self) -> list[dict[str, str]]:
        assert self.table is not None
        rows = _read_table(self.table)
        missing = [row["file"] for row in rows if not (self.root / row["file"]).is_file()]
        if missing:
            raise UserError(
                f"{self.table.name} names {len(missing)} file(s) that are not in {str(self.root)!r}, "
                f"the first is {missing[0]!r}; names are relative to that folder"
            )
        return rows

    def _nothing_found(self, skipped: list[tuple[str, str]]) -> str:
        why = f" ({len(skipped)} left out, the first: {': '.join(skipped[0])})" if skipped else ""
        return f"no mesh to read in {str(self.root)!r}{why}; expected {' '.join(SUFFIXES)} files, also in sub-folders"


def _mesh_files(root: Path) -> Iterator[Path]:
    """Files with a mesh suffix below `root`; links are followed, but no folder is entered twice."""
    entered = set()
    for folder, folders, names in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in entered:
            folders.clear()
            continue
        entered.add(real)
        folders[:] = sorted(n for n in folders if not n.startswith((".", "__MACOSX")))
        for name in names:  # "._chair.obj" is what macOS leaves beside chair.obj
            if not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES + OPTIONAL_SUFFIXES:
                yield Path(folder) / name


def _read_table(table: Path) -> list[dict[str, str]]:
    """Rows of the CSV, stripped; `UserError` for missing columns, no rows, or a split that is none."""
    try:
        with open(table, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = reader.fieldnames or []
            raw = list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{table.name} cannot be read as a CSV in UTF-8: {error}") from error
    lacking = [name for name in _COLUMNS if name not in columns]
    if lacking:
        raise UserError(f"{table.name} lacks the column(s) {', '.join(lacking)}; it has {', '.join(columns) or 'none'}")
    rows = [{key: (value or "").strip() for key, value in row.items() if isinstance(key, str)} for row in raw]
    for number, row in enumerate(rows, start=2):
        if not row["file"]:
            raise UserError(f"{table.name}, line {number}: the column file is empty")
        if row["split"] not in ("", *SPLITS):
            raise UserError(f"{table.name}, line {number}: split is {row['split']!r}, expected {', '.join(SPLITS)}")
    return rows


def _check_distinct(items: list[Item]) -> None:
    first: dict[str, str] = {}
    for item in items:
        other = first.setdefault(item.object, item.facts["file"])
        if other != item.facts["file"]:
            raise UserError(f"{other!r} and {item.facts['file']!r} would be one object {item.object!r}; rename one")
    if len(first) < len(items):
        raise UserError("a file is listed twice in the table")
