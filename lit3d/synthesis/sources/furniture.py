"""Sweet Home 3D's furniture (Debian package sweethome3d-furniture): 820 textured models of 196 authors."""

import hashlib
import zipfile
from collections import defaultdict
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from lit3d.errors import UserError
from lit3d.synthesis.shape import Shape, UnusableMeshError
from lit3d.synthesis.sources.catalogue import (
    CATALOGUE,
    Entry,
    load_entry,
    parse_properties,
    read_catalogue,
    read_model,
    triangle_count,
)
from lit3d.synthesis.sources.furniture_groups import group_of
from lit3d.synthesis.sources.items import Item, checked_ratios, chosen, stable_fraction

INSTALLED = Path("/usr/share/sweethome3d/furniture")
HELD_OUT_LIBRARY = "KatorLegaz"  # its authors made nothing in the other libraries
_MISSING = """no Sweet Home 3D furniture (.sh3f files) in {where!r}. Install it with
    apt-get install sweethome3d-furniture
or, without root, unpack it into a folder of your own and name that:
    apt-get download sweethome3d-furniture && dpkg -x sweethome3d-furniture_*.deb furniture
    ... data.root=furniture"""


class FurnitureSource:
    """Models from `.sh3f` archives, read without unpacking them, grouped by name into classes.

    The library KatorLegaz is the split `test_authors` as a whole. The others are split by (creator, model name):
    models of one creator whose names differ in a number or an addition are always on the same side.

    Args:
        root: folder with the `.sh3f` files, or one into which the Debian package was unpacked; None for the
            place where Debian installs them.
        categories: which classes; None for all.
        min_faces: models with fewer triangles are left out (road signs).
        max_faces: models with more triangles are left out (trees modelled leaf by leaf).
        min_flatness: at or below this ratio of shortest to longest side a thing is flat and left out (rugs).
        split: shares of train, val and test within each category.
        seed: another seed gives another split.
    """

    name = "furniture"

    def __init__(
        self,
        root: str | Path | None = None,
        categories: Sequence[str] | None = None,
        min_faces: int = 100,
        max_faces: int = 100_000,
        min_flatness: float = 0.02,
        split: tuple[float, float, float] = (0.8, 0.07, 0.13),
        seed: int = 0,
    ) -> None:
        self.root = _archive_folder(INSTALLED if root is None else Path(root).expanduser())
        self.categories = list(categories) if categories is not None else None
        self.min_faces, self.max_faces, self.min_flatness = int(min_faces), int(max_faces), float(min_flatness)
        self.split, self.seed = checked_ratios(split), int(seed)

    def items(self) -> list[Item]:
        """All usable models, library by library in catalogue order."""
        entries, _ = self._usable
        splits = split_by_author(entries, self.split, self.seed)
        items = [_item(entry, side) for entry, side in zip(entries, splits, strict=True)]
        return chosen(items, self.categories, "the furniture")

    def skipped(self) -> list[tuple[str, str]]:
        """Flat things, models with too few or too many faces, entries without a readable model."""
        return list(self._usable[1])

    def load(self, item: Item) -> Shape:
        """Read the model, turn it as the catalogue says, and clean it."""
        entry = self._by_object[item.object]
        # Opened anew each time: forked workers that share an open archive would share its position too.
        with zipfile.ZipFile(self.root / f"{entry.library}.sh3f") as archive:
            shape = load_entry(archive, entry, self.max_faces)
        reason = self._flat(np.ptp(shape.vertices, axis=0))
        if reason:
            raise UnusableMeshError(reason)
        return shape

    def attribution(self) -> str | None:
        """One line per model: most of the licences (CC-BY) want the author named."""
        lines = [
            "Meshes from the furniture libraries of Sweet Home 3D (https://www.sweethome3d.com), Debian package",
            "sweethome3d-furniture; turned, cleaned, scaled and rendered. Object: model, author, library, licence:",
            "",
        ]
        for item in self.items():
            f = item.facts
            lines.append(f"{item.object}: {f['name']!r} by {f['creator']}, {f['library']}, {f['licence']}")
        return "\n".join(lines) + "\n"

    def fingerprint(self) -> dict[str, str]:
        """Version and checksum of every library; the objects and their splits."""
        digest = hashlib.sha256("\n".join(f"{i.object} {i.category} {i.split}" for i in self.items()).encode())
        found = {"source": self.name, "objects": str(len(self.items())), "splits": digest.hexdigest()[:16]}
        for path in sorted(self.root.glob("*.sh3f")):
            with zipfile.ZipFile(path) as archive:
                sums = "\n".join(sorted(f"{info.filename} {info.CRC}" for info in archive.infolist()))
                version = parse_properties(archive.read(CATALOGUE).decode("latin-1")).get("version", "?")
            found[path.stem] = f"{version} {hashlib.sha256(sums.encode()).hexdigest()[:16]}"
        return found

    @cached_property
    def _by_object(self) -> dict[str, Entry]:
        entries = [entry for path in sorted(self.root.glob("*.sh3f")) for entry in read_catalogue(path)]
        return {entry.object: entry for entry in reversed(entries)}  # a model listed twice counts once

    @cached_property
    def _usable(self) -> tuple[list[Entry], list[tuple[str, str]]]:
        usable, skipped = [], []
        seen: set[str] = set()
        for path in sorted(self.root.glob("*.sh3f")):
            entries = read_catalogue(path)
            with zipfile.ZipFile(path) as archive:
                for entry in entries:
                    reason = "listed twice" if entry.object in seen else self._unusable(archive, entry)
                    seen.add(entry.object)
                    if reason is None:
                        usable.append(entry)
                    else:
                        skipped.append((f"{entry.library}:{entry.path}", reason))
        return usable, skipped

    def _unusable(self, archive: zipfile.ZipFile, entry: Entry) -> str | None:
        """Why an entry is left out, judged without reading it as a mesh, or None."""
        reason = self._flat(_sides(entry))
        if reason is None:
            try:
                data = read_model(archive, entry)
            except UnusableMeshError as error:
                return str(error)
        if reason is None and entry.path.lower().endswith(".obj"):
            count = triangle_count(data)
            if count < self.min_faces:
                reason = f"{count} faces, at least {self.min_faces} are needed"
            elif count > self.max_faces:
                reason = f"{count} faces, the limit is {self.max_faces}"
        return reason

    def _flat(self, sides: np.ndarray) -> str | None:
        ratio = float(sides.min() / max(sides.max(), 1e-12))
        return f"flat: the shortest side is {ratio:.3f} of the longest" if ratio <= self.min_flatness else None


def _archive_folder(root: Path) -> Path:
    """Where the archives lie: `root`, or inside it as the Debian package unpacks them."""
    places = (root, root / INSTALLED.relative_to("/"))
    found = next((place for place in places if any(place.glob("*.sh3f"))), None)
    if found is None:
        raise UserError(_MISSING.format(where=str(root)))
    return found


def _sides(entry: Entry) -> np.ndarray:
    """Width, height and depth in cm as the catalogue gives them; NaN, which is not flat, where it does not."""
    try:
        return np.array([float(entry.properties[name]) for name in ("width", "height", "depth")])
    except (KeyError, ValueError):
        return np.full(3, np.nan)


def _item(entry: Entry, side: str) -> Item:
    facts = {
        "name": entry.title,
        "creator": entry.creator,
        "licence": entry.licence,
        "library": entry.library,
        "file": f"{entry.library}:/{entry.path}",
    }
    return Item(entry.object, group_of(entry.title, entry.stem), side, facts)


def split_by_author(entries: list[Entry], ratios: tuple[float, float, float], seed: int) -> list[str]:
    """The split of each entry: families of models stay together, and each category keeps the shares.

    Families come in an order that a hash settles; each goes to test or val if it still fits there, else to train.
    Plain hashing would leave a category of 20 models without test objects now and then.
    """
    categories: dict[str, dict[tuple[str, ...], list[int]]] = defaultdict(lambda: defaultdict(list))
    for index, (entry, family) in enumerate(zip(entries, model_families(entries), strict=True)):
        if entry.library != HELD_OUT_LIBRARY:
            categories[family[1]][family].append(index)
    splits = ["test_authors"] * len(entries)
    for groups in categories.values():
        count = sum(map(len, groups.values()))
        room = {"test": _quota(ratios[2], count), "val": _quota(ratios[1], count)}
        for family in sorted(groups, key=lambda family: stable_fraction("furniture split", seed, *family)):
            members = groups[family]
            side = next((name for name in room if len(members) <= room[name]), "train")
            if side in room:
                room[side] -= len(members)
            for index in members:
                splits[index] = side
    return splits


def _quota(share: float, count: int) -> int:
    """Objects of a category in a split: at least one where three splits can have one each."""
    return max(round(share * count), 1 if share > 0 and count >= 5 else 0)


def model_families(entries: list[Entry]) -> list[tuple[str, ...]]:
    """Creator, category and family name of each entry.

    A name without its numbers and single letters belongs to the shortest name of the same creator and category that
    it begins with: "Chair", "Chair 2" and "Chair with cushion" are one family.
    """
    names = [(e.creator.lower(), group_of(e.title, e.stem), *_words(e.title)) for e in entries]
    families: set[tuple[str, ...]] = set()
    for name in sorted(set(names), key=lambda name: (len(name), name)):
        if not any(name[:length] in families for length in range(3, len(name))):
            families.add(name)
    return [next(name[:length] for length in range(3, len(name) + 1) if name[:length] in families) for name in names]


def _words(title: str) -> list[str]:
    words = "".join(c if c.isalpha() or c == "'" else " " for c in title.lower()).split()
    return [word for word in words if len(word) > 1] or [title.lower()]
