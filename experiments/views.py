"""Test views that the figures of an experiment show."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from lit3d.build import instantiate

PICKED = ("chair", "mug", "airplane", "car")  # categories that are shown where a dataset has them


def first_views(module: Any, keys: Sequence[str], count: int) -> list[Any]:
    """The first test view of `count` categories of the dataset that a module was trained on: `PICKED`, then others."""
    data = instantiate(module.config["data"], seed=module.config["seed"])
    data.setup()
    dataset = data.dataset("test", keys=keys)
    first = {data.opened.category(name): i for i, (name, _) in reversed(list(enumerate(dataset.rows)))}
    chosen = [category for category in dict.fromkeys((*PICKED, *sorted(first))) if category in first]
    return [dataset[first[category]] for category in chosen[:count]]


def noted(cell: np.ndarray, text: str) -> np.ndarray:
    """A picture (h, w, 3) uint8 with a line in its lower left corner."""
    picture = Image.fromarray(cell)
    font = ImageFont.load_default(14)
    ImageDraw.Draw(picture).text((3, len(cell) - 2), text, (0, 0, 0), font, "ls", stroke_width=2, stroke_fill="white")
    return np.asarray(picture)
