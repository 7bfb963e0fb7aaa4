"""A dataset on disk as samples in a target frame."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from lit3d.data import augment as aug
from lit3d.data import frames
from lit3d.data.normals import normals_of
from lit3d.data.places import Places, check_queries
from lit3d.data.reader import DatasetReader
from lit3d.data.sample import IMAGE_KEYS, POSTERIOR_KEYS, QUERY_KEYS, Sample
from lit3d.errors import UserError
from lit3d.synthesis.sensor import Sensor, measure

PIXELS = ("image", *IMAGE_KEYS)
POINT_VECTORS = ("points", "spare_points", "point_normals", "posterior_points", "queries")


@dataclass(frozen=True)
class Seen:
    """One look at an object.

    Attributes:
        rgba: (h, w, 4) uint8, straight alpha.
        intrinsics: (3, 3) in pixels.
        object_to_camera: (4, 4).
        geometry: those of depth (h, w), normal (h, w, 3), mask (h, w) that are wanted.
    """

    rgba: np.ndarray
    intrinsics: np.ndarray
    object_to_camera: np.ndarray
    geometry: dict[str, np.ndarray]


class ViewDataset(Dataset):
    """Samples for a list of views.

    Randomness is a function of (seed, epoch, index): an item asked for as (epoch, index) is augmented, a plain index
    (validation, test) is not, and then gives the first `points` of the stored truth, and what else an image could show
    where the dataset knows it; in training that is given where `keys` ask for it.

    Args:
        reader: the dataset on disk.
        rows: (object id, view) of each sample.
        keys: what a sample holds beside image, camera and identity.
        points: m, the number of true points.
        frame: viewer or object.
        augment: what may change in training.
        seed: the run's seed.
        spare: how many further true points to give as `spare_points`, independent of `points`.
        places: which queries to give, where `keys` ask for them.
        sensor: a depth camera that depth, mask and normals of training come from, where one of them is among the keys:
            holes leave the mask, normals are those of the measured depth; evaluation keeps the exact truth.
        metres: the object's longest side, for the sensor.

    Raises:
        UserError: an unknown frame, more points than the dataset stores, or keys that it does not have, which for
            depth, normal and mask its first view tells.
    """

    def __init__(
        self,
        reader: DatasetReader,
        rows: Sequence[tuple[str, int]],
        keys: Sequence[str] = ("points",),
        points: int = 1024,
        frame: str = "viewer",
        augment: aug.Augment | None = None,
        seed: int = 0,
        spare: int = 0,
        places: Places | None = None,
        sensor: Sensor | None = None,
        metres: float = 1.0,
    ) -> None:
        frames.check_frame(frame)
        if points + spare > reader.point_count:
            raise UserError(
                f"{points + spare} true points a shape are asked for, but the dataset stores {reader.point_count}: "
                "lower data.points or data.test_points, or make the dataset again with more data.synthesis.points"
            )
        if frozenset(keys) & set(POSTERIOR_KEYS) and not reader.posterior_values:
            raise UserError(
                f"{', '.join(sorted({*keys} & {*POSTERIOR_KEYS}))} are asked for, but {reader.root} does not know what "
                "its pictures hide: train with data=ambiguous"
            )
        if frozenset(keys) & set(QUERY_KEYS):
            check_queries(reader, places or Places())
        self.places = places or Places()
        if (seen := frozenset(keys) & set(IMAGE_KEYS)) and rows:
            _check_geometry(reader, rows[0], seen)
        self.reader, self.rows, self.keys, self.points = reader, list(rows), frozenset(keys), points
        self.frame, self.seed, self.spare = frame, seed, spare
        self.plain, self.augment = aug.Augment(), augment or aug.Augment()
        self.metres, self.sensor = metres, sensor if self.keys & set(IMAGE_KEYS) else None
        self.looked_at = set(IMAGE_KEYS) if self.sensor else self.keys & set(IMAGE_KEYS)

    def __len__(self) -> int:
        """Number of views."""
        return len(self.rows)

    def __getitem__(self, item: int | tuple[int, int]) -> Sample:
        """One sample; (epoch, index) augments."""
        epoch, index = item if isinstance(item, tuple) else (-1, item)
        rng = np.random.default_rng([self.seed, epoch + 1, index])
        name, view = self.rows[index]
        look = self.augment if epoch >= 0 else self.plain
        asked = self._queries(name, epoch, index)
        arrays = self._arrays(name, view, look, rng, asked, training=epoch >= 0)
        sample: dict[str, Any] = {k: torch.from_numpy(np.require(v, requirements="C")) for k, v in arrays.items()}
        return sample | {"object": name, "category": self.reader.category(name), "view": view}  # type: ignore[return-value]

    def truth(self, index: int) -> torch.Tensor:
        """The true points (m, 3) of a sample in the target frame, without its image."""
        name, view = self.rows[index]
        object_to_target, _ = frames.target_frame(self.reader.camera(name, view)[1], self.frame)
        return torch.from_numpy(frames.apply(object_to_target, self.reader.point_array(name, "points", 0, self.points)))

    def _arrays(
        self, name: str, view: int, look: aug.Augment, rng: np.random.Generator, asked: dict[str, np.ndarray],
        training: bool,
    ) -> dict[str, np.ndarray]:
        mirror = rng.random() < look.mirror
        dx, dy = rng.integers(-look.shift, look.shift + 1, 2).tolist() if look.shift else (0, 0)
        out = asked | self._points(name, rng if training else None) | self._posterior(name, training)
        seen = self.seen(name, view, rng if training else None)
        rgba, intrinsics = seen.rgba, seen.intrinsics.copy()
        background = look.draw_background(rng, rgba.shape[0])
        out |= seen.geometry
        if dx or dy:  # before the object is put on its background, which stays
            intrinsics[:2, 2] += (dx, dy)
            rgba = aug.shifted(rgba, dx, dy, 0)
            out |= {k: aug.shifted(out[k], dx, dy, 0) for k in IMAGE_KEYS if k in out}
        if look.recolours:
            image = aug.over(*aug.recoloured(rgba, look, rng), background)
        else:
            image = aug.composite(rgba, background)
        out["image"] = image
        object_to_target, pose = frames.target_frame(seen.object_to_camera, self.frame)
        turns = {k: _rotation(object_to_target) if k == "point_normals" else object_to_target for k in POINT_VECTORS}
        out |= {k: frames.apply(transform, out[k]) for k, transform in turns.items() if k in out}
        if mirror:
            intrinsics, pose = aug.mirrored_camera(intrinsics, pose, image.shape[1])
            object_to_target = frames.MIRROR @ object_to_target @ frames.MIRROR
            out = _mirrored(out)
        if self.sensor is not None:  # last, so that the camera's second eye is on the right of a mirrored picture, too
            out |= self._measured(out, intrinsics, rng) if training else {}
            out = {k: v for k, v in out.items() if k in self.keys or k not in IMAGE_KEYS}
        out |= {"intrinsics": intrinsics, "pose": pose, "object_to_target": object_to_target}
        return {k: _layout(k, v) for k, v in out.items()}

    def seen(self, name: str, view: int, rng: np.random.Generator | None) -> Seen:
        """The stored picture of an object; `rng` is for datasets that look anew (None in evaluation)."""
        intrinsics, object_to_camera = self.reader.camera(name, view)
        wanted = self.looked_at
        arrays = self.reader.geometry(name, view) if wanted else ()
        geometry = {k: v for k, v in zip(("depth", "normal", "mask"), arrays, strict=False) if k in wanted}
        return Seen(self.reader.image(name, view), intrinsics, object_to_camera, geometry)

    def _measured(
        self, exact: dict[str, np.ndarray], intrinsics: np.ndarray, rng: np.random.Generator
    ) -> dict[str, np.ndarray]:
        """What the sensor makes of exact depth and normals."""
        assert self.sensor is not None
        depth = measure(exact["depth"], exact["normal"], intrinsics, self.sensor, rng, self.metres)
        normal = {"normal": normals_of(depth, intrinsics)} if "normal" in self.keys else {}
        return {"depth": depth, "mask": depth > 0} | normal

    def _points(self, name: str, rng: np.random.Generator | None) -> dict[str, np.ndarray]:
        """Stored points have no order, so a random block of neighbouring rows is a random subset: one short read."""
        wanted = {"points", "point_normals", "point_parts"} & self.keys
        if not wanted:
            return {}
        free = self.reader.point_count - self.points
        start = int(rng.integers(0, free + 1)) if rng is not None else 0
        found = {k: self.reader.point_array(name, k, start, self.points) for k in sorted(wanted)}
        if self.spare and rng is None:
            found["spare_points"] = self.reader.point_array(name, "points", self.points, self.spare)
        return found

    def _queries(self, name: str, epoch: int, index: int) -> dict[str, np.ndarray]:
        """Drawn from a generator of their own, so that the other keys are the same with and without them."""
        if not self.keys & set(QUERY_KEYS):
            return {}
        rng = np.random.default_rng([self.seed, epoch + 1, index, 1]) if epoch >= 0 else None
        return self.places.draw(self.reader, name, self.frame, rng)

    def _posterior(self, name: str, training: bool) -> dict[str, np.ndarray]:
        wanted = self.keys & set(POSTERIOR_KEYS)
        if not (wanted if training else self.reader.posterior_values):
            return {}
        probabilities, points, hidden = self.reader.posterior(name, self.points)
        return {"posterior": probabilities, "posterior_points": points, "hidden": np.array(hidden)}


def _check_geometry(reader: DatasetReader, row: tuple[str, int], keys: frozenset[str]) -> None:
    """Training would else end at the first batch of a dataset that came without depth."""
    try:
        reader.geometry(*row)
    except UserError as error:
        raise UserError(
            f"{', '.join(sorted(keys))} of each view are asked for, but {reader.root} does not have them: train a "
            f"model and losses that read points alone, or make a dataset with depth ({error})"
        ) from None


def _rotation(transform: np.ndarray) -> np.ndarray:
    turned = np.eye(4)
    turned[:3, :3] = transform[:3, :3]
    return turned


def _mirrored(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Pixels flipped left to right, x -> -x of points and normals."""
    flip = np.array([-1, 1, 1], np.float32)
    out = {k: v[:, ::-1] if k in PIXELS else v for k, v in arrays.items()}
    return {k: v * flip if k in (*POINT_VECTORS, "normal") else v for k, v in out.items()}


def _layout(key: str, array: np.ndarray) -> np.ndarray:
    """(h, w, c) -> (c, h, w) for pictures; float32 everywhere but masks, parts and indices."""
    if key in ("image", "normal"):
        array = array.transpose(2, 0, 1)
    if key in ("mask", "depth"):
        array = array[None]
    kinds = {"mask": np.bool_, "point_parts": np.int64, "hidden": np.int64}
    return array.astype(kinds.get(key, np.float32), copy=False)
