"""Predictions that any software made: which file belongs to which view, and the points in it.

docs/evaluate.md says how files are named and what they hold.
"""

import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import trimesh
from jaxtyping import Float
from torch import Tensor

from lit3d.errors import UserError
from lit3d.synthesis.shape import UnusableMeshError
from lit3d.synthesis.store.layout import folder_name, stable_hash
from lit3d.synthesis.surface import sample_surface

SUFFIXES = (".ply", ".obj", ".npz")
KEY = re.compile(r"(.+)[_/]([0-9]+)")  # object, view: greedy, so the last separator counts and ids may hold both
FARTHEST = 1e9  # beyond, a squared distance leaves float32
SHOWN = 3  # files that an error names
NAMING = "files are <object>_<view> or <object>/<view> with .ply, .obj or .npz"
View = tuple[str, int]  # object id, view


@dataclass
class Reading:
    """What was found in one file; a line of predictions.csv.

    Attributes:
        object: its id.
        view: its number.
        file: relative to the folder; empty where there is none.
        kind: points or mesh; empty where nothing could be read.
        size: points, or faces of a mesh.
        scored: points that are scored; 0 for a failure.
        diagonal: of the box around the points.
        failure: why it counts as a failure; empty where it does not.
    """

    object: str
    view: int
    file: str = ""
    kind: str = ""
    size: int = 0
    scored: int = 0
    diagonal: float = 0.0
    failure: str = ""


class GivenPredictions:
    """A folder of shapes, read view by view; `readings` keeps what was found in each file.

    Args:
        folder: with the files, at any depth.
        wanted: the views that are scored.
        stored: all views of the dataset, for the advice in an error.
        points: n; a larger set is reduced later, a mesh is sampled with as many.

    Raises:
        UserError: no folder, no file of a known kind, a file of no wanted view, or two files for one view.
    """

    def __init__(self, folder: Path, wanted: Sequence[View], stored: Collection[View], points: int) -> None:
        self.folder, self.points = folder, points
        self.files = _by_view(folder, shape_files(folder), wanted, stored)
        self.readings: dict[View, Reading] = {}

    def __call__(self, name: str, view: int) -> Float[Tensor, "n 3"]:
        """The points of a view in the target frame, all NaN (a counted failure) where there are none to score."""
        reading = Reading(name, view)
        self.readings[name, view] = reading
        try:
            points = self._points(reading)
        except UnusableMeshError as error:
            reading.failure = str(error)
            return torch.full((self.points, 3), torch.nan)
        reading.scored = min(len(points), self.points)
        reading.diagonal = float(np.linalg.norm(np.ptp(points, axis=0)))
        return torch.from_numpy(points)

    def _points(self, reading: Reading) -> Float[np.ndarray, "n 3"]:
        path = self.files.get((reading.object, reading.view))
        if path is None:
            raise UnusableMeshError("missing")
        reading.file = path.relative_to(self.folder).as_posix()
        vertices, faces = read_shape(path)
        reading.kind, reading.size = ("points", len(vertices)) if faces is None else ("mesh", len(faces))
        if not len(vertices):
            raise UnusableMeshError("holds no points")
        if not np.isfinite(vertices).all():
            raise UnusableMeshError("a coordinate is NaN or infinite")
        if np.abs(vertices).max() > FARTHEST:
            raise UnusableMeshError(f"a coordinate is beyond {FARTHEST:g} object sides")
        if faces is None:
            return vertices.astype(np.float32)
        rng = np.random.default_rng([stable_hash(reading.object), reading.view])
        return sample_surface(vertices, faces, self.points, rng)[0]

    def table(self) -> list[dict[str, Any]]:
        """One row a view that was read, in the order of the test."""
        return [asdict(reading) | {"diagonal": f"{reading.diagonal:.6g}"} for reading in self.readings.values()]

    def counts(self) -> dict[str, int]:
        """How many points were scored: the least, the most, and how many sets have fewer than n."""
        scored = [reading.scored for reading in self.readings.values() if not reading.failure]
        fewer = sum(count < self.points for count in scored)
        return {"least": min(scored, default=0), "most": max(scored, default=0), "fewer": fewer, "sets": len(scored)}


# --- names ----------------------------------------------------------------------------------------------------------


def shape_files(folder: Path) -> list[Path]:
    """Files of a known kind at any depth, sorted; hidden ones and other kinds are left alone.

    Raises:
        UserError: no folder, or none in it.
    """
    if not folder.is_dir():
        raise UserError(f"predictions={folder} is not a folder: expected one in which {NAMING}")
    files = sorted(path for path in _walk(folder) if not path.name.startswith("."))
    found = [path for path in files if path.suffix.lower() in SUFFIXES]
    if not found:
        held = ", ".join(sorted({path.suffix or path.name for path in files})[:SHOWN])
        what = f"only {held} files" if held else "no file"
        raise UserError(f"predictions={folder} holds {what}: expected one file a view; {NAMING}")
    return found


def _walk(folder: Path) -> Iterator[Path]:
    for here, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(here) / name for name in names)


def _by_view(
    folder: Path, paths: Sequence[Path], wanted: Sequence[View], stored: Collection[View]
) -> dict[View, Path]:
    ids = {name: name for name, _ in stored} | {folder_name(name): name for name, _ in stored}
    keys = {path: _view_of(path.relative_to(folder).with_suffix("").as_posix(), ids) for path in paths}
    scored = set(wanted)
    if extra := [path for path, key in keys.items() if key not in scored]:
        known = sum(keys[path] in stored for path in extra)
        raise UserError(
            f"{len(extra)} of {len(paths)} files in {folder} belong to no view that is scored: {_few(folder, extra)}; "
            + (f"other views of this dataset: {known} (see split and data.test_views); " if known else "")
            + f"{NAMING}, here for example {folder_name(wanted[0][0])}_{wanted[0][1]}.ply"
        )
    by_view: dict[View, list[Path]] = {}
    for path, key in keys.items():
        assert key is not None
        by_view.setdefault(key, []).append(path)
    if twice := {key: files for key, files in by_view.items() if len(files) > 1}:
        (name, view), files = next(iter(twice.items()))
        raise UserError(
            f"{len(twice)} views have more than one file in {folder}, such as view {view} of {name}: "
            f"{_few(folder, files)}; keep one of each"
        )
    return {key: files[0] for key, files in by_view.items()}


def _view_of(name: str, ids: Mapping[str, str]) -> View | None:
    match = KEY.fullmatch(name)
    return (ids[match[1]], int(match[2])) if match and match[1] in ids else None


def _few(folder: Path, paths: Sequence[Path]) -> str:
    names = ", ".join(path.relative_to(folder).as_posix() for path in paths[:SHOWN])
    return names + (", ..." if len(paths) > SHOWN else "")


# --- content --------------------------------------------------------------------------------------------------------


def read_shape(path: Path) -> tuple[Float[np.ndarray, "v 3"], np.ndarray | None]:
    """Points (v, 3) of a file, or vertices and triangles (f, 3) where it has faces.

    Raises:
        UnusableMeshError: with the reason in a few words, whatever is wrong with the file.
    """
    try:
        with path.open("rb") as stream:
            if path.suffix.lower() == ".npz":
                return _arrays(stream)
            scene = trimesh.load_scene(stream, file_type=path.suffix[1:].lower(), process=False)
            return _joined(scene.dump())
    except UnusableMeshError:
        raise
    except Exception as error:  # readers raise anything, from IndexError to MemoryError
        text = " ".join(str(error).split())[:80]
        raise UnusableMeshError(f"cannot be read ({type(error).__name__}: {text})") from None


def _arrays(stream: Any) -> tuple[np.ndarray, np.ndarray | None]:
    with np.load(stream, allow_pickle=False) as arrays:
        if "points" not in arrays:
            raise UnusableMeshError(f"expected an array 'points', found {', '.join(arrays) or 'none'}")
        points = arrays["points"]
        faces = arrays["faces"] if "faces" in arrays else None
    if points.ndim != 2 or points.shape[1] != 3 or points.dtype.kind not in "fiu":
        raise UnusableMeshError(f"'points' must be numbers of shape (n, 3), it is {points.dtype} {points.shape}")
    if faces is None or not faces.size:
        return points.astype(np.float64), None
    if faces.ndim != 2 or faces.shape[1] != 3 or faces.dtype.kind not in "iu":
        raise UnusableMeshError(f"'faces' must be whole numbers of shape (f, 3), it is {faces.dtype} {faces.shape}")
    return points.astype(np.float64), _checked(faces, len(points))


def _joined(parts: Sequence[Any]) -> tuple[np.ndarray, np.ndarray | None]:
    """All parts of a file as one; its points where no part has faces."""
    if not parts:
        return np.zeros((0, 3)), None
    vertices = [np.asarray(part.vertices, np.float64).reshape(-1, 3) for part in parts]
    faces = [np.asarray(getattr(part, "faces", ()), np.int64).reshape(-1, 3) for part in parts]
    starts = np.cumsum([0, *(len(v) for v in vertices[:-1])])
    joined = np.concatenate([_checked(f, len(v)) + s for f, v, s in zip(faces, vertices, starts, strict=True)])
    return np.concatenate(vertices), joined if len(joined) else None


def _checked(faces: np.ndarray, vertices: int) -> np.ndarray:
    if len(faces) and not 0 <= faces.min() <= faces.max() < vertices:
        raise UnusableMeshError(f"a face names vertex {faces.max()} of {vertices}")
    return faces.astype(np.int64)
