"""The figure: image, what it could be, what the losses want, what the networks give."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from lit3d import drawing

SIZE = 170
TURN = 140.0  # degrees about the object's up axis: what the image hides comes to the front


def draw(examples: Sequence[dict[str, Any]], names: Sequence[str], path: Path) -> None:
    """One row an image; every shape is seen from behind, near points yellow, far ones violet.

    Args:
        examples: `sample`, `members`, `free` and `network`, lists of (n 3) in the target frame.
        names: of the two losses.
        path: of the picture.
    """
    most = max(len(e["members"]) for e in examples)
    heads = ["image", *(f"value {i + 1}" for i in range(most)), *(f"{n}, free" for n in names),
             *(f"{n}, network" for n in names)]  # fmt: skip
    rows = []
    for e in examples:
        blank = [np.full((SIZE, SIZE, 3), 255, np.uint8)] * (most - len(e["members"]))
        image = drawing.upscaled(e["sample"]["image"].numpy().transpose(1, 2, 0), SIZE)
        members, free, network = ([behind(points, e["sample"]) for points in e[k]] for k in
                                  ("members", "free", "network"))  # fmt: skip
        rows.append([image, *members, *blank, *free, *network])
    drawing.save_image(drawing.grid(rows, heads, [e["sample"]["category"] for e in examples]), path)


def behind(points: Tensor, sample: Any) -> np.ndarray:
    """A point set (n 3) of the target frame, turned away from the camera and tipped towards it."""
    pose, intrinsics = (sample[k].numpy().astype(float) for k in ("pose", "intrinsics"))
    up = sample["object_to_target"].numpy().astype(float)[:3, 1]
    tipped = drawing.turned(drawing.turned(points.numpy().astype(float), TURN, up), 25.0, _right(pose))
    intrinsics[:2] *= SIZE / sample["image"].shape[-1]
    camera = tipped @ pose[:3, :3].T + pose[:3, 3]
    return drawing.draw_points(camera, intrinsics, SIZE, drawing.colours_by_depth(camera, *_range(pose)), ball=0.028)


def _right(pose: np.ndarray) -> np.ndarray:
    """The camera's right axis in the target frame."""
    return pose[0, :3]


def _range(pose: np.ndarray) -> tuple[float, float]:
    return pose[2, 3] - 0.7, pose[2, 3] + 0.7
