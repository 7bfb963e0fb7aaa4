"""Random access to a dataset on disk: one view, one object, the first n points, without reading the rest.

Both layouts, zip shards and plain folders, look the same from here. The format is described in docs/dataset_format.md.
"""

import csv
import functools
import hashlib
import io
import json
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lit3d.data.files import Content, FolderFiles, ShardFiles, array_of, arrays_of
from lit3d.errors import UserError, did_you_mean
from lit3d.synthesis.shape import Shape
from lit3d.synthesis.store import layout
from lit3d.synthesis.store.archive import DamagedError

POINT_FILES = {"points": "points.npy", "point_normals": "normals.npy", "point_parts": "parts.npy"}
_MAKE = "`python -m lit3d.synthesize --help` says how to make one."
_AGAIN = "Copy it anew, or make the dataset again with overwrite=true."
_OTHERS = "All other objects can still be read."


@dataclass(frozen=True, slots=True)
class ObjectRow:
    """A line of objects.csv: identity and how the object came out; `facts` holds the further columns as text."""

    object: str
    category: str
    split: str
    shard: str
    views: int
    faces: int
    dropped_share: float
    touches_border: int
    facts: dict[str, str]


class DatasetReader:
    """A dataset in a folder. Picklable, and safe after a fork: files are opened where they are first read.

    Objects are named by their id or by their row in `objects`.

    Attributes:
        info: contents of dataset.json.
        objects: the objects, sorted by id.
    """

    def __init__(self, root: str | Path, hold_mb: float = 0) -> None:
        """Read the tables, not the data.

        Args:
            root: the dataset's folder.
            hold_mb: memory for decoded pictures, the most recently read ones: decoding is half the time of a sample.

        Raises:
            UserError: no folder, no complete dataset in it, another version, or damaged tables.
        """
        self.root = Path(root)
        self.info = _info(self.root)
        self.objects = _objects(self.root, self.info["counts"]["objects"])
        self._row_of = {entry.object: row for row, entry in enumerate(self.objects)}
        names = [layout.folder_name(entry.object) for entry in self.objects]
        self._files: ShardFiles | FolderFiles = (
            ShardFiles(self.root / layout.SHARDS, names, [entry.shard for entry in self.objects])
            if self.info["layout"] == "shards" else FolderFiles(self.root / layout.FOLDERS, names))
        self.hold_mb = hold_mb
        held = int(hold_mb * 1e6 / (4 * self.info["image_size"] ** 2))
        self._image = functools.lru_cache(held)(self._decode_image) if held else self._decode_image
        self._cameras_of = functools.lru_cache(maxsize=16_384)(self._read_cameras)
        self._posterior_of = functools.lru_cache(maxsize=16_384)(self._read_posterior)

    def __getstate__(self) -> dict[str, Any]:
        return {"root": self.root, "hold_mb": self.hold_mb}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def __len__(self) -> int:
        return len(self.objects)

    def index(self, split: str | None = None, categories: Collection[str] | None = None) -> list[tuple[str, int]]:
        """(object id, view) of all views of one split (none where there is no such split) and of some categories.

        Raises:
            UserError: a category that the dataset does not have.
        """
        known = self.info["categories"]
        for name in categories or ():
            if name not in known:
                raise UserError(f"{self.root} has no category {name!r}; it has {', '.join(known)}."
                                f"{did_you_mean(name, known)}")
        return [(entry.object, view) for entry in self.objects
                if (split is None or entry.split == split) and (categories is None or entry.category in categories)
                for view in range(entry.views)]

    def image(self, name: int | str, view: int) -> np.ndarray:
        """(h, w, 4) uint8, RGBA with straight alpha."""
        return self._image(name, view).copy()

    def _decode_image(self, name: int | str, view: int) -> np.ndarray:
        row, file = self._view(name, view, "png")
        content = self._read(row, file)
        try:
            return _picture(content)
        except DamagedError as error:
            raise self._damaged(row, file, error) from error

    def geometry(self, name: int | str, view: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Depth (h, w) float32 (camera z, 0 outside), normal (h, w, 3) float32 in camera axes, mask (h, w) bool."""
        row, file = self._view(name, view, "npz")
        content = self._read(row, file)
        try:
            arrays = arrays_of(content)
            return arrays["depth"], arrays["normal"].astype(np.float32), arrays["mask"]
        except (DamagedError, KeyError) as error:
            raise self._damaged(row, file, error) from error

    @functools.cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that are equal for equal tables and equal files of objects; nothing is decoded.

        Raises:
            UserError: a damaged or missing shard.
        """
        found = hashlib.blake2b(digest_size=8)
        for name in (layout.INFO, layout.OBJECTS):
            found.update((self.root / name).read_bytes())
        try:
            for part in self._files.contents():
                found.update(part)
        except (DamagedError, OSError) as error:
            raise UserError(f"{self.root} is damaged: {error}. {_AGAIN}") from error
        return found.hexdigest()

    @property
    def point_count(self) -> int:
        """m, the stored surface samples of each object."""
        return int(self.info["points"])

    def category(self, name: int | str) -> str:
        """The class of an object."""
        return self.objects[self._row(name)].category

    def points(self, name: int | str, count: int | None = None,
               keys: Collection[str] = tuple(POINT_FILES)) -> tuple[np.ndarray, ...]:
        """The first `count` surface samples (all for None), one array for each of `keys`: see `point_array`."""
        return tuple(self.point_array(name, key, 0, count) for key in keys)

    def point_array(self, name: int | str, key: str, start: int = 0, count: int | None = None) -> np.ndarray:
        """Consecutive surface samples in the object frame; only they are read.

        Samples are independent draws, so any block of them is a uniform sample of the surface.

        Args:
            name: id or row of the object.
            key: "points" (count, 3) float32, "point_normals" (count, 3) float32 or "point_parts" (count,) integers.
            start: the first.
            count: how many; None for all from `start` on.

        Raises:
            UserError: more asked for than there are, or a damaged file.
        """
        row, file, last = self._row(name), POINT_FILES[key], self.point_count if count is None else start + count
        if not 0 <= start <= last <= self.point_count:
            raise UserError(f"Objects of {self.root} have {self.point_count:,} points, {start:,} to {last:,} were "
                            f"asked for. Ask for fewer, or make the dataset with points={last}.")
        try:
            whole = array_of(self._files.lazy(row, file))
            found = whole[start:last].astype(whole.dtype if key == "point_parts" else np.float32, copy=True)
            # A block cannot be checked against the file's checksum; numbers that make no sense are a reason to.
            if len(found) < last - start or (key == "points" and not np.abs(found).max(initial=0) < 0.75):
                self._files.read(row, file)
        except (DamagedError, KeyError, OSError) as error:
            raise self._damaged(row, file, error) from error
        return found

    def camera(self, name: int | str, view: int) -> tuple[np.ndarray, np.ndarray]:
        """Intrinsics (3, 3) in pixels and object_to_camera (4, 4), float32; OpenCV camera axes."""
        row, _ = self._view(name, view, "png")
        intrinsics, object_to_camera = self._cameras_of(row)
        return intrinsics[view].copy(), object_to_camera[view].copy()

    @property
    def posterior_values(self) -> int:
        """k, the most values that the hidden attribute of an object has; 0 where posteriors are not known."""
        return int(self.info.get("posterior_values", 0))

    def posterior(self, name: int | str, count: int | None = None) -> tuple[np.ndarray, np.ndarray, int]:
        """What an object could be, for all that its pictures tell.

        Args:
            name: id or row of the object.
            count: at most so many points of each value; they are a uniform sample of its surface.

        Returns:
            Probabilities (k,) float32, points (k, m, 3) float32 in the object frame, index of the object's own value.
            k is `posterior_values`: where an object has fewer, the rest has probability 0 and points of the last.

        Raises:
            UserError: the dataset has no posteriors, or a damaged file.
        """
        row = self._row(name)
        if not self.posterior_values:
            raise UserError(f"{self.root} does not know what its pictures hide: make one with data=ambiguous.")
        probabilities, hidden = self._posterior_of(row)
        try:
            points = array_of(self._files.lazy(row, "posterior.npy"))[:, :count].astype(np.float32)
            if not np.abs(points).max(initial=0) < 0.75:  # as in `point_array`
                self._files.read(row, "posterior.npy")
        except (DamagedError, KeyError, OSError) as error:
            raise self._damaged(row, "posterior.npy", error) from error
        missing = self.posterior_values - len(points)
        padded = np.concatenate([points, np.repeat(points[-1:], missing, axis=0)]) if missing else points
        return np.pad(probabilities, (0, missing)), padded, hidden

    def description(self, name: int | str) -> dict[str, Any]:
        """Contents of object.json: category, split, facts, attributes, part names, extents, cameras."""
        row = self._row(name)
        try:
            return json.loads(bytes(self._read(row, "object.json")))
        except ValueError as error:
            raise self._damaged(row, "object.json", error) from error

    def mesh(self, name: int | str) -> Shape:
        """The normalised mesh, where the dataset was made with keep_meshes=true.

        Raises:
            UserError: it was not.
        """
        row, about = self._row(name), self.description(name)
        if not self.info["settings"].get("keep_meshes"):
            raise UserError(f"{self.root} holds no meshes: make it with keep_meshes=true.")
        try:
            arrays = arrays_of(self._read(row, "mesh.npz"))
            textures = sorted(file for file in self._files.names(row) if file.startswith("texture_"))
            images = tuple(_picture(self._read(row, file)) for file in textures)
            half = np.array(about["extents"]) / 2
            box = (-half, half) if "posterior" in about else None  # an own box would tell the hidden value
            return Shape(arrays["vertices"].astype(np.float64), arrays["faces"].astype(np.int64), arrays["colours"],
                         arrays["parts"], tuple(about["part_names"]), about["attributes"], arrays.get("uv"),
                         arrays.get("texture_of_face"), images, box)
        except (DamagedError, KeyError, OSError) as error:
            raise self._damaged(row, "mesh.npz", error) from error

    def verify(self) -> Iterator[str]:
        """Read every file of every object; yields one sentence for each that is missing or damaged."""
        for row, entry in enumerate(self.objects):
            pictures = {f"{view:03d}.{kind}" for view in range(entry.views) for kind in ("png", "npz")}
            try:
                wanted = {"object.json", *POINT_FILES.values(), *pictures, *self._files.names(row)}
            except (DamagedError, KeyError, OSError) as error:
                yield str(self._damaged(row, "object.json", error))
                continue
            for file in sorted(wanted):
                try:
                    _DECODE[file.rpartition(".")[2]](self._files.read(row, file))
                except (DamagedError, KeyError, OSError, ValueError) as error:
                    yield str(self._damaged(row, file, error))

    def _row(self, name: int | str) -> int:
        if isinstance(name, str):
            if name not in self._row_of:
                raise UserError(f"{self.root} has no object {name!r}.{did_you_mean(name, self._row_of)}")
            return self._row_of[name]
        if not 0 <= name < len(self.objects):
            raise UserError(f"{self.root} has {len(self.objects)} objects, so there is no row {name}.")
        return int(name)

    def _view(self, name: int | str, view: int, kind: str) -> tuple[int, str]:
        row = self._row(name)
        if not 0 <= view < self.objects[row].views:
            raise UserError(f"Object {self.objects[row].object!r} of {self.root} has {self.objects[row].views} views, "
                            f"so there is no view {view}.")
        return row, f"{view:03d}.{kind}"

    def _read(self, row: int, file: str) -> Content:
        try:
            return self._files.read(row, file)
        except (DamagedError, KeyError, OSError) as error:
            raise self._damaged(row, file, error) from error

    def _read_cameras(self, row: int) -> tuple[np.ndarray, np.ndarray]:
        cameras = self.description(row)["cameras"]
        return (np.array([camera["intrinsics"] for camera in cameras], np.float32),
                np.array([camera["object_to_camera"] for camera in cameras], np.float32))

    def _read_posterior(self, row: int) -> tuple[np.ndarray, int]:
        found = self.description(row)["posterior"]
        return np.array(found["probabilities"], np.float32), int(found["hidden"])

    def _damaged(self, row: int, file: str, error: Exception) -> UserError:
        path = self._files.where(row, file)
        if isinstance(error, KeyError | FileNotFoundError):
            return UserError(f"{path} is missing. {_AGAIN} {_OTHERS}")
        return UserError(f"{path} is damaged: {error}. {_AGAIN} {_OTHERS}")


def _picture(content: Content) -> np.ndarray:
    try:
        with Image.open(io.BytesIO(content), formats=("PNG",)) as image:
            return np.array(image)
    except (OSError, SyntaxError, ValueError) as error:
        raise DamagedError(str(error)) from error


_DECODE: dict[str, Callable[[Content], object]] = {
    "json": lambda content: json.loads(bytes(content)), "npy": array_of, "npz": arrays_of, "png": _picture}


def _info(root: Path) -> dict[str, Any]:
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


def _objects(root: Path, expected: int) -> list[ObjectRow]:
    path = root / layout.OBJECTS
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            rows = [_object_row(entry) for entry in csv.DictReader(stream)]
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing. {_AGAIN}") from error
    except (ValueError, KeyError, TypeError, csv.Error) as error:
        raise UserError(f"{path} is damaged ({error}). {_AGAIN}") from error
    if len(rows) != expected:
        raise UserError(f"{path} lists {len(rows)} objects, {layout.INFO} says {expected}: it was truncated or "
                        f"changed. {_AGAIN}")
    return rows


def _object_row(entry: dict[str, str]) -> ObjectRow:
    facts = {key: value for key, value in entry.items() if key not in layout.ROW}
    return ObjectRow(entry["object"], entry["category"], entry["split"], entry["shard"], int(entry["views"]),
                     int(entry["faces"]), float(entry["dropped_share"]), int(entry["touches_border"]), facts)
