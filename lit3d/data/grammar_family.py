"""A grammar object whose attributes are known but one: the same question on the shapes that networks learn."""

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from lit3d.data.families import Family
from lit3d.data.hidden import Choice, Uniform
from lit3d.errors import UserError, did_you_mean
from lit3d.synthesis import grammar
from lit3d.synthesis.shape import Shape, bounds, normalised

KEPT_MESHES = 512  # floats have four decimals: some thousand values, a millisecond each


class GrammarShapes:
    """Meshes of one object that differ in one attribute, all in the box of the one half-way.

    Args:
        category: of the grammar.
        attribute: the hidden one.
        seed: draws all the others.

    Raises:
        UserError: no such category or attribute.
    """

    def __init__(self, category: str, attribute: str, seed: int = 0) -> None:
        specs = {spec.name: spec for spec in grammar.attributes(category)}
        if attribute not in specs:
            hint = did_you_mean(attribute, specs)
            raise UserError(f"category '{category}' has no attribute '{attribute}'.{hint} It has: {', '.join(specs)}")
        self.category, self.spec = category, specs[attribute]
        self.others = grammar.draw(category, np.random.default_rng(seed))
        self.box = bounds(self._shape(0.5))
        self._triangles = lru_cache(KEPT_MESHES)(self._make)  # one cache an object

    def _shape(self, share: float) -> Shape:
        return grammar.build(self.category, self.others | {self.spec.name: self.spec.draw(share)})

    def _make(self, share: float) -> tuple[Tensor, Tensor]:
        """Corners (f, 3, 3) and the area up to each face (f,) as a share."""
        shape = self._shape(share)
        corners = normalised(shape.vertices, *self.box)[shape.faces]
        area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1).cumsum()
        return torch.from_numpy(corners).float(), torch.from_numpy(area / area[-1])

    def share(self, hidden: float) -> float:
        """The uniform number that the attribute is drawn with: the middle of a choice."""
        if self.spec.kind != "choice":
            return min(float(hidden), 1 - 1e-9)
        weights = self.spec.weights or (1.0,) * len(self.spec.values)
        steps = np.concatenate([[0.0], np.cumsum(weights) / np.sum(weights)])
        return float(steps[int(hidden)] + steps[int(hidden) + 1]) / 2

    def __call__(self, hidden: Tensor, u: Tensor) -> Tensor:
        """Points (b, n, 3), uniform by area: the first parameter chooses the face, the others the place on it."""
        return torch.stack([self._on(float(value), one) for value, one in zip(hidden, u, strict=True)])

    def _on(self, hidden: float, u: Tensor) -> Tensor:
        corners, area = self._triangles(round(self.share(hidden), 4))
        a, b, c = corners[torch.searchsorted(area[:-1].contiguous(), u[:, 0].double(), right=True)].unbind(1)
        root, along = u[:, 1:2].sqrt(), u[:, 2:]
        return (1 - root) * a + root * (1 - along) * b + root * along * c


def grammar_family(name: str, category: str, attribute: str, seed: int = 0, dimension: int = 3) -> Family:
    """The family of a grammar object with one hidden attribute, drawn as the grammar draws it."""
    shapes = GrammarShapes(category, attribute, seed)
    spec = shapes.spec
    if spec.kind != "choice":
        return Family(name, shapes, Uniform(), dimension)
    weights = np.array(spec.weights or [1.0] * len(spec.values))
    hidden = Choice(len(spec.values), (weights / weights.sum()).tolist())
    return Family(name, shapes, hidden, dimension)
