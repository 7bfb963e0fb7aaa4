"""Which image belongs to which depth, and what training may see: by names, by folders, or by a CSV."""

import csv
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lit3d.data.rgbd_files import DEPTH_SUFFIXES
from lit3d.errors import UserError, did_you_mean
from lit3d.synthesis.sources.items import slug, stable_fraction

COLOUR_WORDS = ("rgb", "color", "colour", "image", "images")
DEPTH_WORDS = ("depth", "depths")
COLOUR_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm")
SPLIT_WORDS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val",
               "test": "test", "testing": "test"}  # fmt: skip
CAMERA_FILES = ("intrinsics.json", "camera_intrinsics.json", "camera_intrinsic.json", "intrinsic.json", "camera.json")
SHARES = {"test": 0.2, "val": 0.1}  # of the sequences; the rest trains
SEQUENCES = ("folder", "file")
COLUMNS = ("image", "depth", "split", "sequence", "category", "intrinsics")
SHOWN = 3  # names in a sentence


@dataclass(frozen=True)
class Pair:
    """An image and its depth.

    Attributes:
        image: file.
        depth: file.
        sequence: what it was taken with: pictures of one sequence are alike, so one split holds them all.
        category: first folder above the sequence, or "scene".
        split: train, val or test; empty while it is open.
        view: number within the sequence, by name.
        intrinsics: JSON file, or None.
    """

    image: Path
    depth: Path
    sequence: str
    category: str = "scene"
    split: str = ""
    view: int = 0
    intrinsics: Path | None = None

    @property
    def row(self) -> tuple[str, int]:
        """(object, view): its identity."""
        return self.sequence, self.view


def find_pairs(folder: Path, table: Path | None = None, sequence: str = "folder") -> list[Pair]:
    """All pairs of a folder, or those of a CSV, each with its split.

    Args:
        folder: where they lie; paths of the CSV start there.
        table: CSV with the columns image, depth, and as far as wanted split, sequence, category, intrinsics.
        sequence: folder (pictures of one folder are alike) or file (each picture stands for itself).

    Raises:
        UserError: no folder, no pairs, a file without its partner, or too few sequences to split.
    """
    if sequence not in SEQUENCES:
        raise UserError(f"data.sequence must be folder or file, got '{sequence}'")
    if not folder.is_dir():
        raise UserError(f"data.folder={folder} is no folder: give the one with images and depth")
    found = _of_table(folder, table) if table is not None else _of_names(folder)
    if sequence == "file":
        found = [replace(pair, sequence=slug(f"{pair.sequence}-{pair.image.stem}")) for pair in found]
    return _numbered(_split(found, folder))


# --- by names ---------------------------------------------------------------------------------------------------------


def _of_names(folder: Path) -> list[Pair]:
    """Files whose paths differ in one word alone: rgb/0001.jpg and depth/0001.png, 0001_color.png and 0001_depth.npy.

    A picture without such a word goes with the depth whose path is its own and the word: 0001.png and 0001_depth.png.
    """
    images, plain, depths = dict[str, Path](), dict[str, Path](), dict[str, Path]()
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and not p.name.startswith(".")):
        suffix, name = path.suffix.lower(), path.relative_to(folder).with_suffix("").as_posix()
        if suffix in DEPTH_SUFFIXES and (key := _without(name, DEPTH_WORDS)):
            _add(depths, key, path)
        elif suffix in COLOUR_SUFFIXES and (key := _without(name, COLOUR_WORDS)):
            _add(images, key, path)
        elif suffix in COLOUR_SUFFIXES:
            plain[name] = path
    pairs, used = [], set[str]()
    for key, depth in depths.items():
        image = images.get(key) or plain.get(re.sub(r"[_.\-]?\*[_.\-]?", "", key))
        if image is not None:
            used.add(key)
            pairs.append(_pair(folder, key, image, depth))
    if not depths or not (images or plain):
        raise UserError(
            f"{folder} holds {len(images) + len(plain)} images and {len(depths)} depth files: expected names that "
            "differ in one word, as rgb/0001.png and depth/0001.png or 0001_color.png and 0001_depth.png, or "
            "data.table=CSV"
        )
    for missing, some in {"depth": images, "image": depths}.items():
        if files := [file for key, file in some.items() if key not in used]:
            raise UserError(
                f"{len(files)} of {len(files) + len(used)} files have no {missing} beside them, {_some(files)} among "
                f"them: add the {missing}, remove them, or name the pairs in data.table=CSV"
            )
    return pairs


def _without(name: str, words: Sequence[str]) -> str | None:
    """The path with the last word of a kind replaced by `*`; None where it has none."""
    pieces = re.split(r"([/_.\-]+)", name)
    places = [i for i, piece in enumerate(pieces) if piece.lower() in words]
    if not places:
        return None
    pieces[places[-1]] = "*"
    return "".join(pieces)


def _add(known: dict[str, Path], key: str, path: Path) -> None:
    if key in known:
        raise UserError(f"{known[key]} and {path} are named as one picture: keep one of them, or use data.table=CSV")
    known[key] = path


def _pair(folder: Path, key: str, image: Path, depth: Path) -> Pair:
    parts = [part for part in key.split("/")[:-1] if part != "*"]
    split = next((SPLIT_WORDS[part.lower()] for part in parts if part.lower() in SPLIT_WORDS), "")
    names = [part for part in parts if part.lower() not in SPLIT_WORDS]
    category = names[0] if len(names) > 1 else "scene"
    sequence = slug("-".join(parts)) if parts else "all"  # train/0001 and test/0001 are two
    return Pair(image, depth, sequence, category, split, intrinsics=_camera_beside(folder, image, depth))


def _camera_beside(folder: Path, *files: Path) -> Path | None:
    """The nearest JSON of a known name in the folders of the files and above, up to the dataset's."""
    for file in files:
        for place in (file.parent, *file.parents):
            if found := next((place / name for name in CAMERA_FILES if (place / name).is_file()), None):
                return found
            if place == folder:
                break
    return None


# --- by a table -------------------------------------------------------------------------------------------------------


def _of_table(folder: Path, table: Path) -> list[Pair]:
    try:
        with table.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            rows, head = list(reader), reader.fieldnames or []
    except (OSError, csv.Error, UnicodeError) as error:
        raise UserError(f"data.table={table} cannot be read ({error})") from None
    for name in head:
        if name not in COLUMNS:
            known = ", ".join(COLUMNS)
            raise UserError(f"{table} has a column '{name}', known are {known}.{did_you_mean(name, COLUMNS)}")
    if not {"image", "depth"} <= set(head) or not rows:
        raise UserError(f"{table} must have the columns image and depth and at least one row, it has {', '.join(head)}")
    return [_of_row(folder, table, number, row) for number, row in enumerate(rows, start=2)]


def _of_row(folder: Path, table: Path, number: int, row: dict[str, str]) -> Pair:
    paths = {key: folder / row[key] for key in ("image", "depth", "intrinsics") if row.get(key)}
    for key in ("image", "depth", *paths):
        if key not in paths or not paths[key].is_file():
            raise UserError(f"{table}, line {number}: there is no {key} {paths.get(key, '')}")
    split = SPLIT_WORDS.get((row.get("split") or "").lower(), "")
    if row.get("split") and not split:
        raise UserError(f"{table}, line {number}: split must be train, val or test, got '{row['split']}'")
    image, depth = paths["image"], paths["depth"]
    beside = paths.get("intrinsics") or _camera_beside(folder, image, depth)
    inside = image.parent.relative_to(folder).as_posix() if image.is_relative_to(folder) else image.parent.name
    sequence = slug(row.get("sequence") or inside) if (row.get("sequence") or inside != ".") else "all"
    return Pair(image, depth, sequence, row.get("category") or "scene", split, intrinsics=beside)


# --- splits -----------------------------------------------------------------------------------------------------------


def _split(pairs: list[Pair], folder: Path) -> list[Pair]:
    """Splits as given; where none is, whole sequences in the order of a hash of their names: test, val, train."""
    given = {pair.split for pair in pairs}
    if given != {""}:
        if "" in given:
            raise UserError(
                f"some pairs of {folder} have a split and others none, "
                f"{_some([p.image for p in pairs if not p.split])} among them: name a split for all or for none"
            )
        _refuse_shared(pairs)
        return pairs
    names = sorted({pair.sequence for pair in pairs}, key=lambda name: stable_fraction("rgbd", name))
    if len(names) < 3:
        raise UserError(
            f"the {len(pairs)} pairs of {folder} are {len(names)} sequence(s), and a sequence stays whole because its "
            "pictures are alike, so there is nothing to test on: put sequences into sub-folders, or pictures under "
            "train/, val/ and test/, or give data.table=CSV, or data.sequence=file if they have nothing in common"
        )
    tested, validated = (max(1, round(SHARES[split] * len(names))) for split in ("test", "val"))
    splits = ["test"] * tested + ["val"] * validated + ["train"] * (len(names) - tested - validated)
    chosen = dict(zip(names, splits, strict=True))
    return [replace(pair, split=chosen[pair.sequence]) for pair in pairs]


def _refuse_shared(pairs: Iterable[Pair]) -> None:
    """A sequence that a CSV puts into two splits would be tested on what it was trained with."""
    splits = defaultdict[str, set[str]](set)
    for pair in pairs:
        splits[pair.sequence].add(pair.split)
    shared = sorted(name for name, found in splits.items() if len(found) > 1)
    if shared:
        raise UserError(
            f"sequence '{shared[0]}' is in {' and '.join(sorted(splits[shared[0]]))}: its pictures are alike, so the "
            "test would know its answers; give parts that have nothing in common another sequence, or set "
            "data.sequence=file"
        )


def _numbered(pairs: Sequence[Pair]) -> list[Pair]:
    """Sorted by sequence and file; pictures of a sequence are numbered over all splits."""
    counts = defaultdict[str, int](int)
    out = []
    for pair in sorted(pairs, key=lambda p: (p.sequence, p.image.as_posix())):
        out.append(replace(pair, view=counts[pair.sequence]))
        counts[pair.sequence] += 1
    return out


def _some(files: Sequence[Path]) -> str:
    names = ", ".join(str(file) for file in files[:SHOWN])
    return f"{names} ..." if len(files) > SHOWN else names
