"""The ledger of trained networks: the same test views, each prediction as it is and as a mesh."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import default_collate

from experiments.scores import Row
from experiments.to_mesh.scoring import Truth
from lit3d import drawing, mesh_drawing
from lit3d.build import instantiate, load_module
from lit3d.errors import UserError

SIZE, DRAWN = 160, 3  # of a picture; views in it


def predicted(paths: Sequence[Path], root: Path | None, views: int, picture: Path) -> list[Row]:
    """A line for each network and view.

    Args:
        paths: checkpoints of one dataset and frame.
        root: the dataset's folder; None: the first checkpoint's.
        views: how many test views, one an object.
        picture: of the first few, a row a view.

    Raises:
        UserError: the checkpoints do not belong together, or have no true points.
    """
    from experiments.to_mesh.ledger import entry

    modules = dict(zip(names(paths), [load_module(path) for path in paths], strict=True))
    samples = test_views(list(modules.values()), root, views)
    rows: list[Row] = []
    cells: list[list[np.ndarray]] = []
    for number, sample in enumerate(samples):
        batch, seen = default_collate([sample]), camera(sample)
        truth = Truth(batch["points"], batch["point_normals"], batch.get("queries"), batch.get("occupancy"))
        cells.append([drawing.upscaled(sample["image"].permute(1, 2, 0).numpy(), SIZE)])
        for name, module in modules.items():
            with torch.inference_mode():
                given = module(batch).detach()
            row, mesh = entry(given, lambda g=given: g.to_mesh(0)[0], truth)
            rows.append({"road": name, "object": sample["object"], "view": int(sample["view"])} | row)
            if number < DRAWN:
                blank = np.full((SIZE, SIZE, 3), 255, np.uint8)
                cells[-1] += [blank, blank] if mesh is None else list(mesh_drawing.views_of(mesh, *seen))
    heads = ["input", *(head for name in modules for head in (name, "90°"))]
    drawing.save_image(drawing.grid(cells[:DRAWN], heads), picture)
    return rows


def names(paths: Sequence[Path]) -> list[str]:
    """What tells checkpoints apart: the folder of their run, or their whole path where that is not enough."""
    short = [path.resolve().parent.parent.name for path in paths]
    return short if len(set(short)) == len(short) else [str(path) for path in paths]


def camera(sample: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, int, int]:
    """As `views_of` takes it; up is the object's y axis."""
    intrinsics, pose, turn = (sample[key].double().numpy() for key in ("intrinsics", "pose", "object_to_target"))
    return intrinsics, pose, turn[:3, 1], SIZE, int(sample["image"].shape[-1])


def test_views(modules: Sequence[Any], root: Path | None, count: int) -> list[Any]:
    """Test samples that are spread over the objects, with all that the networks and the scores read."""
    configs = [module.config["data"] for module in modules]
    told = [(config["name"], config.get("frame"), config.get("image_size")) for config in configs]
    if len(set(map(str, told))) > 1:
        raise UserError(f"checkpoints of one dataset, frame and image size are compared, got {told}")
    chosen = configs[0] | ({"root": str(root)} if root is not None else {})
    data = instantiate(chosen, seed=modules[0].config["seed"])
    if not data.gives_points:
        raise UserError(f"data={data.name} has no true shapes to score meshes against")
    volume = any("queries" in module.metrics.needs for module in modules)
    further = ("queries", "occupancy") if volume else ()
    reads = sorted({key for module in modules for key in module.reads})
    data.need(reads, ("point_normals", *further))
    data.make()
    data.setup()
    return data.preview("test", count)
