"""The figure of this experiment: all predictions for the same test images, from the input's view and from behind."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import trimesh

from experiments.representations.cost import batch_of
from experiments.sheets import noted
from lit3d import drawing
from lit3d.data import frames
from lit3d.errors import UserError
from lit3d.mesh_drawing import draw_mesh

SIZE = 160
VIEWS = (("input's view", 0.0), ("from behind", 180.0))
SHOWN = 3000  # true points, where there is no closed mesh


def seen(vertices: np.ndarray, faces: np.ndarray, sample: Any, degrees: float) -> np.ndarray:
    """A shape of the target frame as the sample's camera sees it once it has turned about its way up.

    Colours are depths of the input's view, so that from behind one sees what the image hid in dark colours. Triangles
    whose inner side shows are red.
    """
    k, pose = (sample[key].double().numpy() for key in ("intrinsics", "pose"))
    up, sides = sample["object_to_target"][:3, 1].double().numpy(), sample["image"].shape[-2:]
    k = drawing.in_square(k, *sides)
    k[:2] *= SIZE / max(sides)
    colours = drawing.colours_by_depth(vertices @ pose[:3, :3].T)
    camera = drawing.turned(vertices, degrees, up) @ pose[:3, :3].T + pose[:3, 3]
    if len(faces):
        return draw_mesh(camera, faces, k, SIZE, colours)
    return drawing.draw_points(camera, k, SIZE, colours)


def truth(opened: Any, sample: Any) -> tuple[np.ndarray, np.ndarray]:
    """Vertices and faces of the true object in the target frame where its parts are closed, else points."""
    try:
        shape = opened.mesh(sample["object"])
    except UserError:  # the dataset keeps no meshes
        shape = None
    if shape is not None and trimesh.Trimesh(shape.vertices, shape.faces).is_watertight:
        return frames.apply(sample["object_to_target"].double().numpy(), shape.vertices), shape.faces
    return sample["points"][:SHOWN].double().numpy(), np.zeros((0, 3), int)


def predicted(module: Any, sample: Any) -> tuple[np.ndarray, np.ndarray, str]:
    """Vertices, faces and the F-score at 5 % of a prediction."""
    with torch.inference_mode():
        prediction = module(batch_of(module, sample))
        shape, n = prediction.to_trimesh(0), module.metrics.points
        points = prediction.surface(n if prediction.capacity is None else min(n, prediction.capacity))[0]
        score = module.metrics.score(points, sample["points"][None], final=False)["fscore_5pct"]
    faces = np.asarray(getattr(shape, "faces", np.zeros((0, 3))), int)
    return np.asarray(shape.vertices, float), faces, f"F {float(score):.2f}"


def draw(modules: Mapping[str, Any], opened: Any, samples: Sequence[Any], path: Path) -> None:
    """A sheet with two rows an image, its columns the image, the truth and the variants.

    Args:
        modules: a trained module of each variant.
        opened: reader of the dataset.
        samples: with image, intrinsics, pose, points, object_to_target, and what the networks read.
        path: of the picture.
    """
    rows, notes = [], []
    for sample in samples:
        true = truth(opened, sample)
        found = {name: predicted(module, sample) for name, module in modules.items()}
        image = drawing.upscaled(sample["image"].permute(1, 2, 0).numpy(), SIZE)
        for i, (what, degrees) in enumerate(VIEWS):
            cells = [noted(seen(v, f, sample, degrees), "" if i else text) for v, f, text in found.values()]
            first = np.full_like(image, 255) if i else image
            rows.append([first, seen(*true, sample, degrees), *cells])
            notes.append(what if i else sample["category"])
    drawing.save_image(drawing.grid(rows, ["", "truth", *(name.replace("_", " ") for name in modules)], notes), path)
