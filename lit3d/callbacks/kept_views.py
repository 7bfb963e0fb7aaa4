"""media/<split>_views.npz: what a report shows of a run's test views, in half a megabyte."""

from pathlib import Path
from typing import Any

import numpy as np
import trimesh

from lit3d.callbacks.results import write_arrays
from lit3d.callbacks.views import Views, true_points

TRUTH = 1024  # true points of each view, at most
POINTS = 2048  # points of a predicted set, at most
FACES = 6000  # triangles of a predicted mesh, at most; finer ones are clustered
GRIDS = (160, 112, 80, 56, 40, 28, 20, 14, 10)  # cells along the longest side, tried in this order


def save_views(path: Path, views: Views) -> None:
    """Input, truth and prediction of some views as one .npz, written aside, then renamed; docs/report.md has its keys.

    Coordinates are float16 (a step of 0.0005 at 1) in the target frame; `pose` leads from there to the camera.
    """
    shapes = [_arrays(views.prediction.to_trimesh(i)) for i in range(len(views.samples))]
    vertices, faces = zip(*shapes, strict=True)
    truth = [true_points(s, TRUTH) for s in views.samples]
    write_arrays(
        path,
        object=np.array([s["object"] for s in views.samples]),
        category=np.array([s["category"] for s in views.samples]),
        view=np.array([int(s["view"]) for s in views.samples], np.int32),
        image=np.stack([_bytes(s["image"].permute(1, 2, 0).numpy()) for s in views.samples]),
        pose=np.stack([s["pose"].numpy() for s in views.samples]).astype(np.float32),
        truth=np.concatenate(truth).astype(np.float16),
        truth_counts=np.array([len(points) for points in truth], np.int32),
        vertices=np.concatenate(vertices).astype(np.float16),
        vertex_counts=np.array([len(v) for v in vertices], np.int32),
        faces=np.concatenate(faces).astype(np.int32),
        face_counts=np.array([len(f) for f in faces], np.int32),
    )


def clustered(vertices: np.ndarray, faces: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """A mesh of at most `most` triangles, or of the coarsest grid: vertices in one cell of a grid become their mean.

    Rossignac and Borrel, "Multi-resolution 3D approximations for rendering complex scenes", 1993. For pictures only:
    it may change the topology.
    """
    for cells in GRIDS:
        if len(faces) <= most:
            break
        low, high = vertices.min(0), vertices.max(0)
        cell = np.floor((vertices - low) / max(float((high - low).max()), 1e-9) * cells).astype(np.int64)
        _, group = np.unique(cell, axis=0, return_inverse=True)
        group = group.reshape(-1)
        counts = np.bincount(group)
        coarse = np.stack([np.bincount(group, vertices[:, k]) / counts for k in range(3)], axis=1)
        mapped = group[faces]
        a, b, c = mapped.T
        mapped = mapped[(a != b) & (b != c) & (c != a)]
        _, first = np.unique(np.sort(mapped, axis=1), axis=0, return_index=True)
        vertices, faces = coarse, mapped[np.sort(first)]
    return vertices, faces


def _arrays(shape: Any) -> tuple[np.ndarray, np.ndarray]:
    """Vertices and triangles; a point set has none of these."""
    vertices = np.asarray(shape.vertices, np.float64)
    if not isinstance(shape, trimesh.Trimesh):
        chosen = np.random.default_rng(0).permutation(len(vertices))[:POINTS]
        return vertices[np.sort(chosen)].reshape(-1, 3), np.zeros((0, 3), np.int32)
    return clustered(vertices.reshape(-1, 3), np.asarray(shape.faces).reshape(-1, 3), FACES)


def _bytes(image: np.ndarray) -> np.ndarray:
    return (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)
