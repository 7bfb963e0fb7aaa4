"""Collects closed parts and turns them into one `Shape`; what a category is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np

from lit3d.synthesis.grammar.attribute import AttributeSpec, checked
from lit3d.synthesis.grammar.palette import role_colours
from lit3d.synthesis.grammar.primitives import Solid
from lit3d.synthesis.shape import Attribute, Shape

# Part number k is shrunk about its centre by k times this, so that no two parts share a corner (parts stay
# separate components although equal positions are one vertex) or a plane (no flicker in renders).
_SHRINK = 1e-5


class Assembly:
    """Closed parts in the order added, each with the name of its kind and the role of its colour."""

    def __init__(self) -> None:
        self._solids: list[Solid] = []
        self._names: list[str] = []
        self._roles: list[str] = []

    def add(self, name: str, solid: Solid, colour: str = "main") -> None:
        """Adds one closed part; parts of one kind ("legs") share their name. `colour` is a role of the palette."""
        self._solids.append(solid)
        self._names.append(name)
        self._roles.append(colour)

    def pair(self, name: str, solid: Solid, colour: str = "main") -> None:
        """Adds a part and its mirror image in x = 0."""
        self.add(name, solid, colour)
        self.add(name, solid.mirrored(), colour)

    def parts(self) -> list[tuple[str, Solid, str]]:
        """(name, solid, colour role) of every part, for builders that move a whole sub-assembly."""
        return list(zip(self._names, self._solids, self._roles, strict=True))

    def shape(self, attributes: dict[str, Attribute]) -> Shape:
        """All parts as one mesh, not normalised, coloured by the colour attributes."""
        colours = role_colours(SimpleNamespace(**attributes))
        part_names = tuple(dict.fromkeys(self._names))
        vertices, faces, offset = [], [], 0
        for k, solid in enumerate(self._solids):
            centre = (solid.vertices.min(axis=0) + solid.vertices.max(axis=0)) / 2
            vertices.append(centre + (solid.vertices - centre) * (1 - _SHRINK * k))
            faces.append(solid.faces + offset)
            offset += len(solid.vertices)
        counts = [len(solid.faces) for solid in self._solids]
        return Shape(
            vertices=np.concatenate(vertices),
            faces=np.concatenate(faces).astype(np.int64),
            colours=np.repeat(np.stack([colours[role] for role in self._roles]), counts, axis=0),
            parts=np.repeat([part_names.index(name) for name in self._names], counts).astype(np.int32),
            part_names=part_names,
            attributes=dict(attributes),
        )


@dataclass(frozen=True)
class Category:
    """A kind of object: its hidden variables and the function that builds one from them.

    Attributes:
        name: key in `CATEGORIES`.
        attributes: hidden variables in the order they are drawn; the colours come last.
        builder: adds the parts to an assembly; reads `p.<attribute>` and draws nothing.
    """

    name: str
    attributes: tuple[AttributeSpec, ...]
    builder: Callable[[Assembly, SimpleNamespace], None]

    def build(self, values: Mapping[str, Attribute]) -> Shape:
        """The object with the given attributes.

        Raises:
            UserError: an attribute is missing, unknown, of the wrong type or out of range.
        """
        attributes = checked(self.name, self.attributes, values)
        assembly = Assembly()
        self.builder(assembly, SimpleNamespace(**attributes))
        return assembly.shape(attributes)
