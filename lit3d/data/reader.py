"""Random access to a dataset on disk: one view, one object, the first n points, without reading the rest.

Both layouts, zip shards and plain folders, look the same from here. The format is described in docs/dataset_format.md.
"""

import functools
import hashlib
import io
import json
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lit3d.data.files import Content, FolderFiles, ShardFiles, array_of, arrays_of
from lit3d.data.listing import AGAIN, dataset_info, listed_objects
from lit3d.errors import UserError, did_you_mean
from lit3d.synthesis.queries import near_queries, uniform_queries
from lit3d.synthesis.shape import Shape
from lit3d.synthesis.store import layout
from lit3d.synthesis.store.archive import DamagedError

POINT_FILES = {"points": "points.npy", "point_normals": "normals.npy", "point_parts": "parts.npy"}
_OTHERS = "All other objects can still be read."


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
        self.info = dataset_info(self.root)
        self.objects = listed_objects(self.root, self.info["counts"]["objects"])
        self._row_of = {entry.object: row for row, entry in enumerate(self.objects)}
        names = [layout.folder_name(entry.object) for entry in self.objects]
        self._files: ShardFiles | FolderFiles = (
            ShardFiles(self.root / layout.SHARDS, names, [entry.shard for entry in self.objects])
            if self.info["layout"] == "shards" else FolderFiles(self.root / layout.FOLDERS, names))
        self.hold_mb = hold_mb
        held = int(hold_mb * 1e6 / (4 * self.info["image_size"] ** 2))
        self._image = functools.lru_cache(held)(self._decode_image) if held else self._decode_image
        self._cameras_of = functools.lru_cache(maxsize=16_384)(self._read_cameras)
        self._shifts_of = functools.lru_cache(maxsize=16_384)(self._read_shifts)
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
            raise UserError(f"{self.root} is damaged: {error}. {AGAIN}") from error
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

    @property
    def query_count(self) -> int:
        """Uniform queries of each object; 0 in datasets made without, or before there were any."""
        return int(self.info["settings"].get("queries", 0))

    @property
    def near_count(self) -> int:
        """Queries near the surface of each object."""
        return min(int(self.info["settings"].get("near_queries", 0)), self.point_count) if self.query_count else 0

    def knows_inside(self, name: int | str) -> bool:
        """Whether the dataset says what is inside of an object."""
        return bool(self.objects[self._row(name)].occupancy)

    def queries(self, name: int | str, start: int = 0, count: int | None = None,
                near: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Consecutive queries and whether they are inside; only a bit of each is read.

        Any block of uniform queries covers the cube [-0.55, 0.55]^3 evenly.

        Args:
            name: id or row of the object; one of which `knows_inside` is true.
            start: the first.
            count: how many; None for all from `start` on.
            near: those near the surface instead of the uniform ones.

        Returns:
            Places (count, 3) float32 in the object frame, inside (count,) bool.

        Raises:
            UserError: more asked for than there are, nobody knows what is inside, or a damaged file.
        """
        row, have = self._row(name), self.near_count if near else self.query_count
        last = have if count is None else start + count
        if not self.knows_inside(row):
            raise UserError(f"{self.root} does not say what is inside of {self.objects[row].object!r}: see "
                            f"{layout.HOLLOW}, or make the dataset anew with overwrite=true.")
        if not 0 <= start <= last <= have:
            kind = "near queries" if near else "queries"
            raise UserError(f"Objects of {self.root} have {have:,} {kind}, {start:,} to {last:,} were asked for. Ask "
                            "for fewer, or make the dataset with more.")
        file = "near_occupancy.npy" if near else "occupancy.npy"
        shifts, sigma = self._shifts_of(row)
        try:
            packed = array_of(self._files.lazy(row, file))[start // 8 : -(-last // 8)]
            inside = np.unpackbits(packed)[start % 8 : start % 8 + last - start].astype(bool)
            if len(inside) < last - start:
                raise DamagedError("shorter than dataset.json says")
        except (DamagedError, KeyError, OSError) as error:
            raise self._damaged(row, file, error) from error
        if not near:
            return uniform_queries(start, last - start, shifts[0]), inside
        points = self.point_array(row, "points", start, last - start)
        return near_queries(points, start, shifts[1], sigma), inside

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

    def _read_shifts(self, row: int) -> tuple[np.ndarray, float]:
        found = self.description(row)["occupancy"]
        return np.array(found["shifts"]), float(found["sigma"])

    def _read_posterior(self, row: int) -> tuple[np.ndarray, int]:
        found = self.description(row)["posterior"]
        return np.array(found["probabilities"], np.float32), int(found["hidden"])

    def _damaged(self, row: int, file: str, error: Exception) -> UserError:
        path = self._files.where(row, file)
        if isinstance(error, KeyError | FileNotFoundError):
            return UserError(f"{path} is missing. {AGAIN} {_OTHERS}")
        return UserError(f"{path} is damaged: {error}. {AGAIN} {_OTHERS}")


def _picture(content: Content) -> np.ndarray:
    try:
        with Image.open(io.BytesIO(content), formats=("PNG",)) as image:
            return np.array(image)
    except (OSError, SyntaxError, ValueError) as error:
        raise DamagedError(str(error)) from error


_DECODE: dict[str, Callable[[Content], object]] = {
    "json": lambda content: json.loads(bytes(content)), "npy": array_of, "npz": arrays_of, "png": _picture}
