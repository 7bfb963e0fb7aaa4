"""Parts of the sheets that experiments draw: which views, and cells with a note."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from lit3d.build import instantiate

PICKED = ("chair", "mug", "airplane", "car")  # categories that are shown where a dataset has them


def test_data(module: Any) -> Any:
    """The dataset that a module was trained on, set up."""
    data = instantiate(module.config["data"], seed=module.config["seed"])
    data.setup()
    return data


def first_views(data: Any, keys: Sequence[str], count: int = len(PICKED)) -> list[Any]:
    """The first test view of `count` categories: `PICKED`, then others; with some keys of a sample."""
    dataset = data.dataset("test", keys=keys)
    first = {data.opened.category(name): i for i, (name, _) in reversed(list(enumerate(dataset.rows)))}
    chosen = [category for category in dict.fromkeys((*PICKED, *sorted(first))) if category in first]
    return [dataset[first[category]] for category in chosen[:count]]


def noted(cell: np.ndarray, text: str) -> np.ndarray:
    """A cell with a line in its lower left corner."""
    picture = Image.fromarray(cell)
    font = ImageFont.load_default(14)
    ImageDraw.Draw(picture).text((3, len(cell) - 2), text, (0, 0, 0), font, "ls", stroke_width=2, stroke_fill="white")
    return np.asarray(picture)
