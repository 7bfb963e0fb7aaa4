"""Pairs of image and depth as samples. Lengths are metres."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch.utils.data import Dataset

from lit3d.data import windows
from lit3d.data.augment import mirrored_camera
from lit3d.data.normals import normals_of
from lit3d.data.rgbd_files import centred, checked_matrix, read_colour, read_depth, read_intrinsics
from lit3d.data.rgbd_pairs import Pair
from lit3d.data.sample import Sample
from lit3d.errors import UserError

Y_UP = np.diag([1.0, -1.0, -1.0, 1.0]).astype(np.float32)  # axes with y up -> camera axes: a scene has none of its own

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray]  # colour (h, w, 3) uint8, depth (h, w) in metres, intrinsics (3, 3)


class RgbdReader:
    """Reads pairs: depth in metres with 0 wherever it does not count, intrinsics with pixel centres at +0.5.

    Args:
        scale: metres for a unit of depth; None: millimetres for whole numbers, metres for others.
        depth_range: nearest and farthest depth that counts, metres.
        intrinsics: JSON file, or numbers (fx, fy, cx, cy) or (3, 3), for all pairs; None: the JSON beside each.
        pixel_centre: where intrinsics have the centre of the first pixel.
    """

    def __init__(
        self, scale: float | None, depth_range: Sequence[float], intrinsics: Any = None, pixel_centre: float = 0.0
    ) -> None:
        if len(depth_range) != 2 or not 0 <= depth_range[0] < depth_range[1]:
            raise UserError(f"data.depth_range must be [nearest, farthest] in metres, got {list(depth_range)}")
        if scale is not None and not 0 < scale < np.inf:
            raise UserError(f"data.depth_scale must be above 0 (metres for a unit), or null, got {scale}")
        self.scale, self.depth_range, self.pixel_centre = scale, (depth_range[0], depth_range[1]), pixel_centre
        self.file = Path(intrinsics) if isinstance(intrinsics, str | Path) else None
        self.matrix = None if intrinsics is None or self.file else centred(_matrix(intrinsics), pixel_centre)

    def depth(self, pair: Pair) -> np.ndarray:
        """(h, w) float32: 0 in holes, and where it is not finite or out of range."""
        return self.counted(read_depth(pair.depth, self.scale))

    def counted(self, depth: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "h w"]:
        """What counts of a depth in metres, 0 elsewhere."""
        with np.errstate(invalid="ignore"):
            counts = np.isfinite(depth) & (depth > 0) & (depth >= self.depth_range[0]) & (depth <= self.depth_range[1])
        return np.where(counts, depth, np.float32(0))

    def intrinsics(self, pair: Pair, size: windows.Size) -> np.ndarray:
        """(3, 3) of a picture of this size.

        Raises:
            UserError: none are given, or no intrinsics.
        """
        if self.matrix is not None:
            return self.matrix
        file = self.file or pair.intrinsics
        if file is None:
            raise UserError(
                f"there are no intrinsics for {pair.image}: put intrinsics.json (fx, fy, cx, cy) beside the pictures "
                "or in a folder above, or set data.intrinsics=FILE or data.intrinsics=[fx,fy,cx,cy]"
            )
        return read_intrinsics(file, size, self.pixel_centre)

    def read(self, pair: Pair) -> Arrays:
        """All of a pair at its own size."""
        colour, depth = read_colour(pair.image), self.depth(pair)
        return colour, depth, self.intrinsics(pair, depth.shape)


def _matrix(numbers: Any) -> np.ndarray:
    if np.size(np.asarray(numbers, object)) == 4:
        fx, fy, cx, cy = numbers
        return checked_matrix([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], "data.intrinsics")
    return checked_matrix(numbers, "data.intrinsics")


def ahead(distance: float) -> np.ndarray:
    """Target frame -> camera (4, 4): the camera's axes, the origin in front of it."""
    pose = np.eye(4, dtype=np.float32)
    pose[2, 3] = distance
    return pose


class RgbdDataset(Dataset):
    """Samples of pairs; one asked for as (epoch, index) is cropped and mirrored, a function of (seed, epoch, index).

    Args:
        pairs: of one split.
        reader: reads them.
        size: (h, w) of the samples; the largest central window of that shape is resized.
        keys: `normal` among them computes normals from depth; everything else is always there.
        distance: of the origin of the target frame, in front of the camera; its axes are the camera's.
        crop: in training, the smallest share of the window's side; 1: always the central window.
        mirror: in training, probability of a left-right flip.
        seed: the run's seed.
        hold_mb: memory for resized pictures.
    """

    def __init__(
        self, pairs: Sequence[Pair], reader: RgbdReader, size: windows.Size, keys: Sequence[str] = (),
        distance: float = 0.0, crop: float = 1.0, mirror: float = 0.0, seed: int = 0, hold_mb: float = 0.0,
    ) -> None:  # fmt: skip
        self.pairs, self.reader, self.size, self.keys = list(pairs), reader, size, frozenset(keys)
        self.pose = ahead(distance)
        self.crop, self.mirror, self.seed = crop, mirror, seed
        self.held = int(hold_mb * 1e6 / (7 * size[0] * size[1]))
        self._open()

    def _open(self) -> None:
        self._central = lru_cache(maxsize=self.held)(self._read)

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k != "_central"}  # a cache does not travel to workers

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._open()

    @property
    def rows(self) -> list[tuple[str, int]]:
        """(object, view) of each sample."""
        return [pair.row for pair in self.pairs]

    def __len__(self) -> int:
        """Number of pairs."""
        return len(self.pairs)

    def __getitem__(self, item: int | tuple[int, int]) -> Sample:
        """One sample; (epoch, index) augments."""
        epoch, index = item if isinstance(item, tuple) else (-1, item)
        pair = self.pairs[index]
        share, x, y, mirror = np.random.default_rng([self.seed, epoch + 1, index]).random(4)
        if epoch >= 0 and self.crop < 1:
            colour, depth, intrinsics = self._read(index, (self.crop + (1 - self.crop) * share, x, y))
        else:
            colour, depth, intrinsics = self._central(index)
        if epoch >= 0 and mirror < self.mirror:
            colour, depth = colour[:, ::-1], depth[:, ::-1]
            intrinsics = mirrored_camera(intrinsics, np.eye(4), self.size[1])[0]
        arrays = {
            "image": colour.transpose(2, 0, 1).astype(np.float32) / 255, "depth": depth[None], "mask": depth[None] > 0,
            "intrinsics": intrinsics.astype(np.float32), "pose": self.pose, "object_to_target": Y_UP,
        }  # fmt: skip
        if "normal" in self.keys:
            arrays["normal"] = normals_of(depth, intrinsics).transpose(2, 0, 1)
        sample: dict[str, Any] = {k: torch.from_numpy(np.array(v, order="C")) for k, v in arrays.items()}
        return sample | {"object": pair.sequence, "category": pair.category, "view": pair.view}  # type: ignore[return-value]

    def _read(self, index: int, place: tuple[float, float, float] = (1.0, 0.5, 0.5)) -> Arrays:
        """A window of a pair at the size of the samples: share of the largest, and where it lies."""
        colour, depth, intrinsics = self.reader.read(self.pairs[index])
        window = windows.placed(depth.shape, self.size, *place)
        return (
            windows.resized_colour(colour, window, self.size), windows.resized_depth(depth, window, self.size),
            windows.resized_intrinsics(intrinsics, window, self.size),
        )  # fmt: skip
