"""Which queries of an object a sample holds: a block of the uniform ones, some near the surface, some far off."""

from dataclasses import dataclass

import numpy as np

from lit3d.data.reader import DatasetReader
from lit3d.errors import UserError
from lit3d.synthesis.queries import far_queries


@dataclass(frozen=True)
class Places:
    """How many queries, and where.

    Attributes:
        count: queries of a sample; None for all uniform ones that the dataset has.
        near: share of them near the surface, in training.
        far: share of them in the ball around the cube, where nothing is, in training in the viewer's frame: there the
            cube stands askew in the axes in which a field is extracted, and its corners lie outside of what was seen.

    Raises:
        UserError: a count below 1, or shares that are none.
    """

    count: int | None = None
    near: float = 0.0
    far: float = 0.0

    def __post_init__(self) -> None:
        if (self.count is not None and self.count < 1) or min(self.near, self.far) < 0 or self.near + self.far > 1:
            raise UserError(
                "data.queries must be at least 1, data.near and data.far shares of them that add up to at most 1; got "
                f"{self.count}, {self.near} and {self.far}"
            )

    def draw(
        self, reader: DatasetReader, name: str, frame: str, rng: np.random.Generator | None
    ) -> dict[str, np.ndarray]:
        """`queries` (q, 3) in the object frame and `occupancy` (q,) of an object.

        Args:
            reader: the dataset.
            name: the object.
            frame: viewer or object.
            rng: of a training sample; None gives the first uniform queries, and NaN for what nobody knows.
        """
        count = reader.query_count if self.count is None else self.count
        if not reader.knows_inside(name):
            return {"queries": np.zeros((count, 3), np.float32), "occupancy": np.full(count, np.nan, np.float32)}
        if rng is None:
            return _joined([reader.queries(name, 0, count)])
        near, far = round(self.near * count), round(self.far * count) if frame == "viewer" else 0
        parts = [_block(reader, name, count - near - far, rng), _block(reader, name, near, rng, near=True)]
        return _joined([*parts, (far_queries(rng, far), np.zeros(far, bool))])


def _block(
    reader: DatasetReader, name: str, count: int, rng: np.random.Generator, near: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Neighbouring rows from a random one on: one short read, and an even cover of the cube."""
    have = reader.near_count if near else reader.query_count
    return reader.queries(name, int(rng.integers(0, have - count + 1)), count, near)


def _joined(parts: list[tuple[np.ndarray, np.ndarray]]) -> dict[str, np.ndarray]:
    places, inside = zip(*parts, strict=True)
    return {"queries": np.concatenate(places), "occupancy": np.concatenate(inside).astype(np.float32)}


def check_queries(reader: DatasetReader, places: Places) -> None:
    """Refuse a dataset that cannot give what a model needs.

    Raises:
        UserError: it was made without queries, or with fewer than are asked for.
    """
    if not reader.query_count:
        raise UserError(
            f"queries and occupancy are asked for, but {reader.root} was made without them: make it anew with "
            f"python -m lit3d.synthesize data={reader.info['name']} overwrite=true"
        )
    count = places.count or reader.query_count
    near = round(places.near * count)
    if count > reader.query_count or near > reader.near_count:
        raise UserError(
            f"{count} queries, {near} of them near the surface, are asked for, but {reader.root} has "
            f"{reader.query_count} and {reader.near_count}: lower data.queries or data.near, or make it anew with more "
            "data.synthesis.queries or near_queries"
        )
