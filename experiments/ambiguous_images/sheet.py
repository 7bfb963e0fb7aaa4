"""The picture of docs/ambiguous.md: each kind as its images show it, and from behind with every hidden value.

python -m experiments.ambiguous_images.sheet docs/pictures/ambiguous.png
"""

import sys
from pathlib import Path

import numpy as np

from lit3d import drawing
from lit3d.synthesis import AmbiguousSource
from lit3d.synthesis.cameras import look_at_origin
from lit3d.synthesis.pipeline import Prepared, prepared
from lit3d.synthesis.render import composite, render

SIZE = 150
EACH = 2  # objects of a kind
FRONT, BEHIND = (4.0, 4.0), (152.0, 26.0)  # azimuth and elevation in degrees


def picture(ready: Prepared, azimuth: float, elevation: float) -> np.ndarray:
    """A render (SIZE, SIZE, 3) uint8 on white."""
    distance = 1.75 * 0.7 * float(np.linalg.norm(ready.extents))
    camera = look_at_origin(azimuth, elevation, distance, focal=35 / 32 * SIZE, size=(SIZE, SIZE))
    colours = composite(render(ready.mesh, camera, samples=4).rgba)
    return (255 * colours.transpose(1, 2, 0) + 0.5).astype(np.uint8)


def sheet(path: Path) -> None:
    """Two rows a kind."""
    source = AmbiguousSource(EACH, probabilities={"cabinet_depth": [0.4, 0.2, 0.4]}, split=(1.0, 0.0, 0.0))
    rows, notes = [], []
    for item in source.items():
        posterior = source.load(item).posterior
        assert posterior is not None
        ready = [prepared(shape) for shape in posterior.shapes]
        row = [picture(ready[0], *FRONT), *(picture(one, *BEHIND) for one in ready)]
        rows.append(row + [np.full_like(row[0], 255)] * (5 - len(row)))
        notes.append(f"{item.category}: {posterior.attribute} {', '.join(posterior.values)}")
    heads = ("its image", "value 1, from behind", "value 2", "value 3", "value 4")
    drawing.save_image(drawing.grid(rows, heads, notes), path)


if __name__ == "__main__":
    sheet(Path(sys.argv[1]))
