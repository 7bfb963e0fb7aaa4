"""The one LightningDataModule: any dataset on disk, in one frame, with one kind of randomness."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import DataLoader

from lit3d.data.augment import Augment
from lit3d.data.frames import check_frame
from lit3d.data.loading import LoadedDataModule
from lit3d.data.online import OnlineViewDataset
from lit3d.data.places import Places
from lit3d.data.reader import DatasetReader
from lit3d.data.sample import IMAGE_KEYS, KEYS, QUERY_KEYS
from lit3d.data.selection import Selection
from lit3d.data.views import ViewDataset
from lit3d.errors import UserError
from lit3d.synthesis import LimitedSource, Report, SynthesisSettings, synthesize
from lit3d.synthesis.cameras import look_at_origin
from lit3d.synthesis.progress import console
from lit3d.synthesis.sensor import Sensor, find_sensor
from lit3d.synthesis.sharded import ShareReport, synthesize_share

HOLD_MB = 500  # memory for decoded pictures, shared out among loader processes


class ShapeDataModule(LoadedDataModule):
    """Serves the design's sample for every source.

    Args:
        name: the dataset's name in run folders and tables.
        root: the dataset's folder; made from `source` if it is missing.
        source: where meshes come from, or None for a dataset that was made elsewhere.
        synthesis: how the dataset is made.
        frame: viewer or object, the frame of every 3D target.
        camera: nominal or known: what networks are built to read of the camera; samples hold it in both cases.
        views: stored, or online (fresh views rendered inside the loader for training).
        points: true points in a training sample; m.
        test_points: true points in validation and test.
        batch_size: samples a step.
        augment: what changes between two looks in training.
        sensor: a depth camera by name (kinect, realsense, tof) or as a `Sensor`: training meets its depth and holes
            in place of exact ones; docs/rgbd.md.
        sensor_metres: the longest side of every object, as the sensor sees it.
        workers: loader processes; 0 loads in the training process.
        validation_views: views in validation, spread evenly.
        test_views: views of each test object, all when None.
        limit: only so many training objects, and a third as many of each other split: for debugging.
        train_objects: of a dataset on disk, train with so many objects of each category, all when None.
        train_views: and with the first so many stored views of each, all when None.
        leave_out: categories that training and validation never see; tests still report them.
        queries: places inside and outside of the object in a training sample; q.
        near: share of them near the surface.
        far: share of them outside of the cube, with frame=viewer alone: `lit3d.data.places`.
        validation_queries: uniform queries in validation.
        test_queries: uniform queries in a test, all when None.
        seed: the run's seed.
    """

    def __init__(
        self,
        name: str,
        root: str | Path,
        source: Any = None,
        synthesis: SynthesisSettings | None = None,
        frame: str = "viewer",
        views: str = "stored",
        points: int = 1024,
        test_points: int = 10_000,
        batch_size: int = 32,
        augment: Augment | None = None,
        sensor: str | Sensor | None = None,
        sensor_metres: float = 1.0,
        workers: int = 0,
        validation_views: int = 256,
        test_views: int | None = None,
        limit: int | None = None,
        train_objects: int | None = None,
        train_views: int | None = None,
        leave_out: str | Sequence[str] = (),
        queries: int = 1024,
        near: float = 0.0,
        far: float = 0.1,
        validation_queries: int = 8192,
        test_queries: int | None = None,
        seed: int = 0,
        camera: str = "nominal",
    ) -> None:
        super().__init__()
        if min(points, test_points, batch_size, validation_views, test_views or 1) < 1 or workers < 0:
            raise UserError("data.points, test_points, batch_size, validation_views and test_views must be at least 1")
        if not 0 < sensor_metres < np.inf:
            raise UserError(f"data.sensor_metres must be the length of an object in metres, got {sensor_metres}")
        check_frame(frame)
        if camera not in ("nominal", "known"):
            raise UserError(f"data.camera must be nominal or known, got '{camera}'")
        if views not in ("stored", "online"):
            raise UserError(f"data.views must be stored or online, got '{views}'")
        if views == "online" and train_views is not None:
            raise UserError("data.train_views counts stored views, but data.views=online renders new: set one")
        left_out = (leave_out,) if isinstance(leave_out, str) else tuple(leave_out)
        self.selection = Selection(train_objects, train_views, left_out)
        self.places = {"train": Places(queries, near, far), "val": Places(validation_queries)}
        self.test_places = Places(test_queries)
        self.name, self.root = name, Path(root)
        self.source = source if source is None or limit is None else LimitedSource(source, limit)
        self.synthesis, self.frame, self.views = synthesis or SynthesisSettings(), frame, views
        self.camera = camera
        self.points, self.test_points, self.batch_size = points, test_points, batch_size
        self.augment, self.workers, self.seed = augment, workers, seed
        self.sensor, self.sensor_metres = find_sensor(sensor), sensor_metres
        self.validation_views, self.test_views = validation_views, test_views
        self.keys: tuple[str, ...] = ("points",)
        self.scored: tuple[str, ...] = ()
        self.reader: DatasetReader | None = None
        self._made = False

    def need(self, keys: Sequence[str], scored: Sequence[str] = ()) -> None:
        """Say which keys networks and losses read, so that nothing else is read from disk.

        Args:
            keys: of all samples.
            scored: further ones that metrics read, in validation and test.

        Raises:
            UserError: a key that no sample has.
        """
        for key in (*keys, *scored):
            if key not in KEYS:
                raise UserError(f"a sample has no '{key}'; its keys are {', '.join(KEYS)}")
        self.keys, self.scored = tuple(sorted({"points", *keys})), tuple(scored)

    # --- making and opening -------------------------------------------------------------------------------------

    def make(self, overwrite: bool = False) -> Report | None:
        """Build the dataset where it is missing or unfinished; None when there was nothing to do.

        Raises:
            UserError: it is missing and there is no source, or the folder holds another dataset.
        """
        if self.source is None:
            if not (self.root / "dataset.json").is_file():
                raise UserError(
                    f"there is no dataset in {self.root}, and data={self.name} has no source to make it from: "
                    "make it with python -m lit3d.synthesize, or set data.root"
                )
            return None
        if self._made:
            return None
        self._made = True
        with console() as progress:
            return synthesize(self.source, self.root, self.synthesis, progress, overwrite)

    def make_share(self, share: int, shares: int) -> ShareReport:
        """Build one share of the dataset; the last one puts it together.

        Raises:
            UserError: there is no source, no such share, or the folder holds another dataset.
        """
        if self.source is None:
            raise UserError(f"data={self.name} has no source to make a dataset from")
        with console() as progress:
            return synthesize_share(self.source, self.root, self.synthesis, share, shares, progress)

    def prepare_data(self) -> None:
        """Lightning's hook, once a machine."""
        self.make()

    def setup(self, stage: str | None = None) -> None:
        """Open the dataset."""
        if self.reader is None:
            self.reader = DatasetReader(self.root, HOLD_MB / max(1, self.workers))
            self.selection.check(self.reader.info["categories"])
            if self.test_points > self.reader.point_count:
                raise UserError(
                    f"data.test_points is {self.test_points}, but {self.root} stores {self.reader.point_count} a shape"
                )

    @property
    def opened(self) -> DatasetReader:
        """The reader, opened on first use."""
        self.setup()
        assert self.reader is not None
        return self.reader

    @property
    def image_size(self) -> tuple[int, int]:
        """(h, w) of its images."""
        side = self.info["image_size"] if self.source is None else self.synthesis.image_size
        return side, side

    @property
    def info(self) -> Mapping[str, Any]:
        """What dataset.json says."""
        return self.opened.info

    def rows(self, split: str) -> list[tuple[str, int]]:
        """(object id, view) of a split, without what training is not to see: without queries, too, if it reads them."""
        rows = self.selection.rows(self.opened.objects, split)
        if split not in self.tested and self.opened.query_count and set(self.keys) & set(QUERY_KEYS):
            return [row for row in rows if self.opened.knows_inside(row[0])]
        return rows

    def nominal_camera(self) -> dict[str, Any]:
        """What a network may assume of an image without a known camera, read off the training views.

        Returns:
            Plain values: `intrinsics` (mean, pixels of the delivered image), `distance` (mean), `fill` (median share of
            the picture's side that the object's box takes), `pose` target frame -> camera, `frame`, `assumed` True.
        """
        rows = self.rows("train")
        names = sorted({name for name, _ in rows})
        chosen = {names[i] for i in np.linspace(0, len(names) - 1, min(200, len(names))).astype(int)}
        stored = {name: self.opened.description(name)["cameras"] for name in sorted(chosen)}
        cameras = [stored[name][view] for name, view in sorted(rows) if name in chosen]
        distance = float(np.mean([c["distance"] for c in cameras]))
        elevation = float(np.mean([c["elevation"] for c in cameras]))
        intrinsics = np.mean([c["intrinsics"] for c in cameras], axis=0)
        pose = np.eye(4)
        pose[2, 3] = distance
        if self.frame == "object":
            size = (self.synthesis.image_size,) * 2
            pose = look_at_origin(0.0, elevation, distance, focal=intrinsics[0, 0], size=size).object_to_camera
        return {
            "intrinsics": intrinsics.tolist(), "pose": pose.tolist(), "distance": distance, "frame": self.frame,
            "fill": float(np.median([c["fill"] for c in cameras])), "assumed": True,
        }  # fmt: skip

    def train_dataloader(self) -> DataLoader:
        """As for any data, but a sensor that nothing would notice is refused.

        Raises:
            UserError: neither network nor loss reads what the sensor changes.
        """
        if self.sensor is not None and not {*self.keys} & {*IMAGE_KEYS}:
            raise UserError(
                f"data.sensor changes {', '.join(IMAGE_KEYS)}, but this model and its losses read none of them: take "
                "model=depth, or leave data.sensor=null"
            )
        return super().train_dataloader()

    # --- views of each split --------------------------------------------------------------------------------------

    def dataset(self, split: str, *, keys: Sequence[str] | None = None, points: int | None = None) -> ViewDataset:
        """Samples of a split; `train` is augmented when asked for as (epoch, index).

        Raises:
            UserError: the split is empty.
        """
        rows = self.rows(split)
        if not rows:
            but = f" but those of data.leave_out={list(self.selection.leave_out)}" if self.opened.index(split) else ""
            raise UserError(f"the dataset in {self.root} has no '{split}' objects{but}")
        if split in self.tested and self.test_views is not None:
            rows = [row for row in rows if row[1] < self.test_views]
        count = points or (self.points if split == "train" else self.test_points)
        spare = 0 if split == "train" else self.opened.point_count - count
        places = self.test_places if split in self.tested else self.places.get(split, self.test_places)
        keys = keys or (self.keys if split == "train" else tuple(sorted({*self.keys, *self.scored})))
        options = (self.opened, rows, keys, count, self.frame, self.augment, self.seed, spare, places)
        sensor: dict[str, Any] = {"sensor": self.sensor, "metres": self.sensor_metres}
        if self.views == "online" and split == "train":
            return OnlineViewDataset(*options, **sensor, settings=self.synthesis)
        return ViewDataset(*options, **sensor)

    def splits(self) -> list[str]:
        """The splits that a test scores, as far as this dataset has them."""
        return [split for split in self.tested if self.opened.index(split=split)]
