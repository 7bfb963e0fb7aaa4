"""What the pipeline keeps of an object that could be several: points of each, and the proof that none can be told."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lit3d.synthesis.lights import jitter_colours
from lit3d.synthesis.render import View
from lit3d.synthesis.shape import Shape

POINTS = 1024  # of each value: what the EMD is taken over


@dataclass(frozen=True)
class PosteriorRecord:
    """The posterior of an object, ready for the disk.

    Attributes:
        attribute: what the pictures do not tell.
        values: what it can be, k of them.
        probabilities: (k,), given the pictures.
        hidden: index of the object's own value.
        points: (k, m, 3) float32, surface samples of the object with each value, in the object frame.
    """

    attribute: str
    values: tuple[str, ...]
    probabilities: tuple[float, ...]
    hidden: int
    points: np.ndarray

    def described(self) -> dict[str, object]:
        """All but the points, for object.json."""
        return {"attribute": self.attribute, "values": list(self.values), "probabilities": list(self.probabilities),
                "hidden": self.hidden}  # fmt: skip


def alternatives(shape: Shape) -> list[Shape]:
    """The shapes with the other values, which must look like this one; none where there is no posterior."""
    if shape.posterior is None:
        return []
    return [other for i, other in enumerate(shape.posterior.shapes) if i != shape.posterior.hidden]


def tinted_alike(rng: np.random.Generator, shapes: Sequence[Shape], strength: float) -> list[np.ndarray]:
    """Jittered colours (f, 3) of each shape; what has one colour in any of them gets one tint in all."""
    counts = np.cumsum([len(shape.colours) for shape in shapes])[:-1]
    return np.split(jitter_colours(rng, np.concatenate([shape.colours for shape in shapes]), strength), counts)


def look_alike(one: View, other: View) -> bool:
    """Whether two views agree in every byte of colour, mask, depth and normals."""
    return all(np.array_equal(getattr(one, key), getattr(other, key)) for key in ("rgba", "mask", "depth", "normal"))
