"""The same test views across runs: input, truth and predictions, in axes of the camera with y up."""

import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import trimesh

from lit3d.reporting.folders import Run
from lit3d.reporting.packing import Pool, picture
from lit3d.shape_files import TO_GLTF, file_name

BUDGET = 12_000_000  # bytes of shapes in a page; above it, fewer views are shown
OBJECT = 1.5  # what lies farther from the origin is no object of longest side 1
Key = tuple[str, str, int]  # split, object, view


@dataclass(frozen=True)
class View:
    """What a run made of one test view; from runs that kept no input, the prediction alone."""

    category: str
    vertices: np.ndarray
    faces: np.ndarray
    image: np.ndarray | None = None
    truth: np.ndarray | None = None


def views_of(run: Run) -> tuple[dict[Key, View], str]:
    """The test views that a run folder holds, and what is wrong with them."""
    found: dict[Key, View] = {}
    note = ""
    for split in run.splits:
        path = run.folder / "media" / f"{split}_views.npz"
        try:
            found |= dict(_kept(path, split) if path.is_file() else _exported(run, split))
        except (OSError, ValueError, KeyError, IndexError, EOFError, zipfile.BadZipFile) as error:
            note = f"the shapes of {split} are damaged ({type(error).__name__}): not in the gallery"
    return found, note


def _kept(path: Path, split: str) -> Iterator[tuple[Key, View]]:
    with np.load(path, allow_pickle=False) as file:
        kept = {name: file[name] for name in file.files}
    vertices = np.split(kept["vertices"].astype(np.float32), np.cumsum(kept["vertex_counts"])[:-1])
    faces = np.split(kept["faces"], np.cumsum(kept["face_counts"])[:-1])
    truth = np.split(kept["truth"].astype(np.float32), np.cumsum(kept["truth_counts"])[:-1])
    for i, name in enumerate(kept["object"].tolist()):
        turn = (TO_GLTF[:3, :3] @ kept["pose"][i, :3, :3]).T.astype(np.float32)
        if len(faces[i]) and faces[i].max() >= len(vertices[i]):
            raise ValueError("a triangle names a vertex that is not there")
        yield (split, name, int(kept["view"][i])), View(
            str(kept["category"][i]), vertices[i] @ turn, faces[i], kept["image"][i], truth[i] @ turn,
        )  # fmt: skip


def _exported(run: Run, split: str) -> Iterator[tuple[Key, View]]:
    """Predictions as .ply, from runs that kept nothing else."""
    frame = (run.config.get("data") or {}).get("frame", "viewer")
    turn = TO_GLTF[:3, :3].T if frame == "viewer" else np.eye(3)
    for _, name, category, view in (s for s in run.samples if s[0] == split):
        path = run.folder / "media" / split / f"{file_name(name, view)}.ply"
        if path.is_file():
            shape: Any = trimesh.load(path, process=False)
            faces = np.asarray(getattr(shape, "faces", np.zeros((0, 3), np.int32)))
            yield (split, name, view), View(category, np.asarray(shape.vertices, np.float32) @ turn, faces)


def gallery(runs: Sequence[Run], members: Sequence[int], pool: Pool) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Views that at least one of some runs holds, ready for a page, and notes by run.

    Args:
        runs: all runs.
        members: positions of those that were scored on the same data.
        pool: takes the arrays.
    """
    every: dict[int, dict[Key, View]] = {}
    notes = {}
    for i in members:
        every[i], note = views_of(runs[i])
        if note:
            notes[runs[i].name] = note
    counts: dict[Key, int] = {}
    for found in every.values():
        for key in found:
            counts[key] = counts.get(key, 0) + 1
    shown = [_view(key, {i: found[key] for i, found in every.items() if key in found}, pool)
             for key in _affordable(counts, every)]  # fmt: skip
    return shown, notes


def _affordable(counts: dict[Key, int], every: dict[int, dict[Key, View]]) -> list[Key]:
    """As many views as the budget allows: those of most runs, spread over the rest."""
    keys = sorted(counts)
    size = sum(v.vertices.size * 2 + len(v.faces) for found in every.values() for v in found.values())
    if size <= BUDGET:
        return keys
    most = max(1, int(len(keys) * BUDGET / size))
    full = [key for key in keys if counts[key] == max(counts.values())]
    chosen = full if len(full) >= most else keys
    return [chosen[i] for i in np.unique(np.linspace(0, len(chosen) - 1, most).astype(int))]


def _view(key: Key, found: dict[int, View], pool: Pool) -> dict[str, Any]:
    whole = next((v for v in found.values() if v.image is not None), None)
    image, truth = (None, None) if whole is None else (whole.image, whole.truth)
    centre, size = _frame(next(iter(found.values())).vertices if truth is None else truth)
    shapes = {str(i): pool.shape((v.vertices - centre) / size, v.faces) for i, v in found.items()}
    return {
        "split": key[0], "object": key[1], "view": key[2], "category": next(iter(found.values())).category,
        "image": None if image is None else picture(image), "shapes": shapes,
        "truth": None if truth is None else pool.shape((truth - centre) / size, np.zeros((0, 3))),
    }  # fmt: skip


def _frame(points: np.ndarray) -> tuple[np.ndarray, float]:
    """Where a page shows a view, and how large: an object as it is, a scene moved to the middle and made as small."""
    finite = points[np.isfinite(points).all(1)]
    if not len(finite) or np.quantile(np.abs(finite), 0.99) <= OBJECT:
        return np.zeros(3, points.dtype), 1.0
    low, high = np.quantile(finite, 0.01, axis=0), np.quantile(finite, 0.99, axis=0)
    return ((low + high) / 2).astype(points.dtype), max(float((high - low).max()), 1e-9)
