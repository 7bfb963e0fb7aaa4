"""Image and depth of real sensors: one folder of pairs as a data module. Lengths are metres."""

import hashlib
import logging
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lit3d.data import windows
from lit3d.data.loading import PREVIEWS, LoadedDataModule
from lit3d.data.rgbd_files import picture_size, read_depth
from lit3d.data.rgbd_pairs import SHOWN, Pair, find_pairs
from lit3d.data.rgbd_views import RgbdDataset, RgbdReader, ahead
from lit3d.data.sample import KEYS
from lit3d.errors import UserError

log = logging.getLogger(__name__)
HOLD_MB = 500  # memory for resized pictures, shared out among loader processes
MOST_OUTSIDE = 0.5  # share of what a sensor measured that may lie out of range before its unit is doubted
GIVEN = ("image", "mask", "depth", "normal", "intrinsics", "pose", "object_to_target", "object", "category", "view")


class _Checked(NamedTuple):
    """A pair that was read once."""

    median: float | None  # of the depth that counts, metres; None: nothing counts
    digest: str  # of both files
    counting: int  # pixels
    measured: int  # pixels: those that count, and those with a depth out of range
    size: int  # pixels


class RgbdDataModule(LoadedDataModule):
    """Pairs of image and depth in a folder, checked before work starts; docs/rgbd.md says how they are found.

    Args:
        name: in run folders and tables.
        folder: where the pairs lie.
        table: CSV that names them, inside the folder or a path; None: by their names.
        sequence: folder (pictures of one folder stay in one split) or file (each stands for itself).
        image_size: (h, w) of the samples, or one number for both.
        depth_scale: metres for a unit of depth; None: 0.001 for whole numbers, 1 for others.
        depth_range: nearest and farthest depth that counts, metres.
        intrinsics: JSON file, (fx, fy, cx, cy) or a matrix for all; None: the JSON beside the pictures.
        pixel_centre: where intrinsics have the centre of the first pixel.
        crop: in training, the smallest share of the largest window; 1: always that.
        mirror: in training, probability of a flip.
        batch_size: samples a step.
        workers: loader processes.
        validation_views: pictures in validation, spread evenly.
        limit: only so many training pictures, and a third as many of each other split: for debugging.
        seed: the run's seed.

    Raises:
        UserError: a number out of range.
    """

    frame = "viewer"  # a scene has no axes of its own: targets are in the camera's
    gives_points = False
    unit = "metre"
    test_points = None

    def __init__(
        self, name: str, folder: str | Path, table: str | Path | None = None, sequence: str = "folder",
        image_size: int | Sequence[int] = (240, 320), depth_scale: float | None = None,
        depth_range: Sequence[float] = (0.1, 10.0), intrinsics: Any = None, pixel_centre: float = 0.0,
        crop: float = 1.0, mirror: float = 0.0, batch_size: int = 8, workers: int = 0, validation_views: int = 256,
        limit: int | None = None, seed: int = 0,
    ) -> None:  # fmt: skip
        super().__init__()
        sides = (image_size, image_size) if isinstance(image_size, int) else tuple(image_size)
        if len(sides) != 2 or min(sides) < 8:
            raise UserError(f"data.image_size must be [h, w] of at least 8 pixels, or one number, got {image_size}")
        if min(batch_size, validation_views, limit or 1) < 1 or workers < 0:
            raise UserError("data.batch_size, validation_views and limit must be at least 1, workers at least 0")
        if not (0 < crop <= 1 and 0 <= mirror <= 1):
            raise UserError(f"data.crop is a share above 0 up to 1, data.mirror a probability; got {crop} and {mirror}")
        self.name, self.folder, self.sequence = name, Path(folder), sequence
        self.table = None if table is None else self._inside(Path(table))
        self.image_size = (int(sides[0]), int(sides[1]))
        self.reader = RgbdReader(depth_scale, depth_range, intrinsics, pixel_centre)
        self.crop, self.mirror, self.batch_size, self.workers = crop, mirror, batch_size, workers
        self.validation_views, self.limit, self.seed = validation_views, limit, seed
        self.keys: tuple[str, ...] = ()
        self.scored: tuple[str, ...] = ()
        self.left_out: list[Pair] = []
        self._pairs: list[Pair] | None = None
        self._medians: dict[tuple[str, int], float] = {}
        self.fingerprint = ""

    def _inside(self, path: Path) -> Path:
        return self.folder / path if (self.folder / path).is_file() else path

    def need(self, keys: Sequence[str], scored: Sequence[str] = ()) -> None:
        """Say which keys networks and losses read; of those that metrics read it gives what it can.

        Raises:
            UserError: a key that a sensor does not give.
        """
        for key in keys:
            if key not in GIVEN:
                why = "sees one side only" if key in KEYS else "has no such key"
                raise UserError(
                    f"'{key}' is needed, but data={self.name} {why}: it gives {', '.join(GIVEN)}; model=depth fits it"
                )
        self.keys = tuple(sorted({*self.keys, *keys}))
        self.scored = tuple(key for key in scored if key in GIVEN)

    # --- finding and checking -------------------------------------------------------------------------------------

    def make(self) -> None:
        """Find the pairs and read each depth once: what cannot be used is said before work starts.

        Raises:
            UserError: a pair that cannot be used, or none with a depth that counts.
        """
        if self._pairs is not None:
            return
        found = self._limited(find_pairs(self.folder, self.table, self.sequence))
        with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
            checks = list(pool.map(self._check, found))
        empty = [pair for pair, check in zip(found, checks, strict=True) if check.median is None]
        self._say_empty(empty, len(found))
        self.left_out, self._pairs = empty, [pair for pair in found if pair not in empty]
        self._medians = {p.row: c.median for p, c in zip(found, checks, strict=True) if c.median is not None}
        self._say_depth(checks)
        whole = hashlib.blake2b("".join(f"{p.row}{c.digest}" for p, c in zip(found, checks, strict=True)).encode())
        self.fingerprint = whole.hexdigest()[:16]

    def _say_empty(self, empty: Sequence[Pair], count: int) -> None:
        """List pairs without depth; all of them are an error, for then the unit is wrong."""
        near, far = self.reader.depth_range
        if len(empty) == count:
            values = read_depth(empty[0].depth, self.reader.scale)
            values = values[np.isfinite(values) & (values != 0)]
            found = f"from {values.min():.4g} to {values.max():.4g} m" if values.size else "nothing"
            raise UserError(
                f"none of the {count} depth files of {self.folder} holds a depth from {near:g} to {far:g} m, "
                f"{empty[0].depth} holds {found}: set data.depth_scale (metres for a unit) or data.depth_range"
            )
        if empty:
            names = ", ".join(str(pair.depth) for pair in empty[:SHOWN]) + (" ..." if len(empty) > SHOWN else "")
            which = f"{len(empty)} of {count} pairs, which have no depth from {near:g} to {far:g} m"
            log.warning("left out %s: %s", which, names)

    def _say_depth(self, checks: Sequence[_Checked]) -> None:
        """How far away things are: a wrong unit shows there, and nowhere else."""
        counting, measured, size = (sum(getattr(c, name) for c in checks) for name in ("counting", "measured", "size"))
        median = np.median(list(self._medians.values()))
        log.info(
            "%d pairs: depth of %.0f %% of the pixels, %.3g m in the median", len(self._medians), 100 * counting / size,
            median,
        )  # fmt: skip
        if counting < (1 - MOST_OUTSIDE) * measured:
            near, far = self.reader.depth_range
            log.warning(
                "%.0f %% of what the sensor measured lies outside %g to %g m and does not count: see whether "
                "data.depth_scale (metres for a unit) and data.depth_range are right",
                100 * (1 - counting / measured), near, far,
            )  # fmt: skip

    def _limited(self, pairs: list[Pair]) -> list[Pair]:
        if self.limit is None:
            return pairs
        fewer = max(1, self.limit // 3)
        most = {"train": self.limit, "val": fewer, "test": fewer}
        return [pair for split, n in most.items() for pair in [p for p in pairs if p.split == split][:n]]

    def _check(self, pair: Pair) -> _Checked:
        """Read a pair and refuse what does not fit."""
        written = read_depth(pair.depth, self.reader.scale)
        depth = self.reader.counted(written)
        size = picture_size(pair.image)
        if size != depth.shape:
            raise UserError(
                f"{pair.image} has {size and size[1]} x {size and size[0]} pixels, but {pair.depth} has "
                f"{depth.shape[1]} x {depth.shape[0]}: save depth aligned to colour, at the same size"
            )
        self.reader.intrinsics(pair, size)
        counts = depth[depth > 0]
        digest = hashlib.blake2b(depth.tobytes(), digest_size=8).hexdigest() + str(pair.image.stat().st_size)
        measured = int((np.isfinite(written) & (written > 0)).sum())
        return _Checked(float(np.median(counts)) if counts.size else None, digest, counts.size, measured, depth.size)

    def prepare_data(self) -> None:
        """Lightning's hook, once a machine."""
        self.make()

    def setup(self, stage: str | None = None) -> None:
        """Also in the other processes."""
        self.make()

    @property
    def pairs(self) -> list[Pair]:
        """All usable pairs."""
        self.make()
        assert self._pairs is not None
        return self._pairs

    @property
    def opened(self) -> "RgbdDataModule":
        """What a fingerprint is asked of."""
        self.make()
        return self

    @property
    def info(self) -> Mapping[str, Any]:
        """Size and categories."""
        return {"image_size": self.image_size, "categories": sorted({pair.category for pair in self.pairs})}

    def facts(self) -> dict[str, Any]:
        """What results.json says: pairs that were left out by the names of their depth, too."""
        return super().facts() | {"left_out": [str(pair.depth) for pair in self.left_out]}

    def splits(self) -> list[str]:
        """The splits that a test scores, as far as there are pairs."""
        return [split for split in self.tested if any(pair.split == split for pair in self.pairs)]

    def rows(self, split: str) -> list[tuple[str, int]]:
        """(object, view) of a split."""
        return [pair.row for pair in self.pairs if pair.split == split]

    def dataset(self, split: str, *, keys: Sequence[str] | None = None, points: int | None = None) -> RgbdDataset:
        """Samples of a split; `train` is augmented when asked for as (epoch, index).

        Raises:
            UserError: the split is empty.
        """
        mine = [pair for pair in self.pairs if pair.split == split]
        if not mine:
            raise UserError(f"{self.folder} has no '{split}' pairs{self._why_none(split)}")
        keys = keys or (self.keys if split == "train" else (*self.keys, *self.scored))
        hold = HOLD_MB / max(1, self.workers)
        return RgbdDataset(
            mine, self.reader, self.image_size, keys, self.distance, self.crop, self.mirror, self.seed, hold
        )

    def _why_none(self, split: str) -> str:
        if count := sum(pair.split == split for pair in self.left_out):
            return f" but {count} without a depth that counts: add some, or set data.depth_range or data.depth_scale"
        return ": put sequences under train/, val/ and test/, or name the splits in data.table=CSV"

    @property
    def distance(self) -> float:
        """Median of the median depths of training: a nominal distance, at which the target frame has its origin."""
        return float(np.median([self._medians[pair.row] for pair in self._typical()]))

    def _typical(self) -> list[Pair]:
        """What is trained with; all of a folder that is only scored."""
        return [pair for pair in self.pairs if pair.split == "train"] or self.pairs

    def preview(self, split: str = "test", count: int = PREVIEWS) -> list[Any]:
        """Fixed pictures spread over a split."""
        dataset = self.dataset(split)
        return [dataset[i] for i in np.unique(np.linspace(0, len(dataset) - 1, min(count, len(dataset))).astype(int))]

    def nominal_camera(self) -> dict[str, Any]:
        """Mean intrinsics of the training pictures, and the median of their median depths; `fill` None: no cut-out."""
        mine = self._typical()
        chosen = [mine[i] for i in np.unique(np.linspace(0, len(mine) - 1, min(50, len(mine))).astype(int))]
        matrices = []
        for pair in chosen:
            size = picture_size(pair.image) or self.image_size
            window = windows.central(size, self.image_size)
            matrices.append(windows.resized_intrinsics(self.reader.intrinsics(pair, size), window, self.image_size))
        return {
            "intrinsics": np.mean(matrices, axis=0).tolist(), "pose": ahead(self.distance).tolist(),
            "distance": self.distance, "frame": self.frame, "fill": None, "assumed": True,
        }  # fmt: skip
