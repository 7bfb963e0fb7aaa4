"""Pairs of image and depth as sensors write them, from the project's own renderer: a scene of a few boxes."""

import json
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from lit3d.synthesis.cameras import look_at_origin
from lit3d.synthesis.render import prepare, render
from lit3d.synthesis.sources import GrammarSource

SIZE = (60, 80)
FOCAL = 70.0


@lru_cache(maxsize=64)
def view(number: int, size: tuple[int, int] = SIZE):
    """A chair of 1 m before a camera at about 2 m: colour (h, w, 3) uint8, exact depth and normals, intrinsics."""
    source = GrammarSource(8, categories=["chair"])
    shape = source.load(source.items()[number % 8])
    centre = (shape.vertices.max(0) + shape.vertices.min(0)) / 2
    vertices = (shape.vertices - centre) / np.ptp(shape.vertices, axis=0).max()
    camera = look_at_origin(40.0 * number, 20.0, 2.0, focal=FOCAL * size[1] / SIZE[1], size=size)
    seen = render(prepare(vertices, shape), camera)
    colour = np.where(seen.mask[..., None], seen.rgba[..., :3], 255).astype(np.uint8)
    return colour, seen.depth, seen.normal, camera.intrinsics


def write_depth(path: Path, depth: np.ndarray) -> None:
    """By the suffix: millimetres in a PNG, metres elsewhere."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".png":
        Image.fromarray(np.round(depth * 1000).astype(np.uint16)).save(path)
    elif path.suffix == ".npz":
        np.savez(path, depth=depth)
    else:
        np.save(path, depth)


def write_image(path: Path, colour: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(colour).save(path)


def write_intrinsics(path: Path, matrix: np.ndarray, size: tuple[int, int] = SIZE) -> None:
    """As RealSense and OpenCV count: the centre of the first pixel at 0."""
    facts = {"width": size[1], "height": size[0], "fx": matrix[0, 0], "fy": matrix[1, 1], "ppx": matrix[0, 2] - 0.5,
             "ppy": matrix[1, 2] - 0.5}  # fmt: skip
    path.write_text(json.dumps(facts))


def write_set(root: Path, layout: str = "folders", suffix: str = ".png", sequences=4, views=2, change=None):
    """A folder of pairs in one of two layouts; `change` makes another depth of (depth, normal, intrinsics, number)."""
    number = 0
    for sequence in range(sequences):
        for i in range(views):
            colour, depth, normal, matrix = view(number)
            depth = depth if change is None else change(depth, normal, matrix, number)
            here = root / f"room_{sequence}"
            if layout == "folders":
                image, target = here / "rgb" / f"{i:04d}.png", here / "depth" / f"{i:04d}{suffix}"
            else:
                image, target = here / f"{i:04d}_color.png", here / f"{i:04d}_depth{suffix}"
            write_image(image, colour)
            write_depth(target, depth)
            number += 1
    write_intrinsics(root / "intrinsics.json", view(0)[3])
    return root
