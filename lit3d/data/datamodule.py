"""The one LightningDataModule: any dataset on disk, in one frame, with one kind of randomness."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch.distributed as dist
from torch.utils.data import DataLoader, DistributedSampler, Subset

from lit3d.data.augment import Augment
from lit3d.data.frames import check_frame
from lit3d.data.online import OnlineViewDataset
from lit3d.data.reader import DatasetReader
from lit3d.data.sample import KEYS
from lit3d.data.sampler import EpochSampler
from lit3d.data.selection import Selection
from lit3d.data.views import ViewDataset
from lit3d.errors import UserError
from lit3d.synthesis import LimitedSource, Report, SynthesisSettings, synthesize
from lit3d.synthesis.cameras import look_at_origin
from lit3d.synthesis.progress import console
from lit3d.synthesis.sharded import ShareReport, synthesize_share

TEST_SPLITS = ("test", "test_authors")
HOLD_MB = 500  # memory for decoded pictures, shared out among loader processes
PREVIEWS = 6  # fixed test views that pictures show


class ShapeDataModule(pl.LightningDataModule):
    """Serves the design's sample for every source.

    Args:
        name: the dataset's name in run folders and tables.
        root: the dataset's folder; made from `source` if it is missing.
        source: where meshes come from, or None for a dataset that was made elsewhere.
        synthesis: how the dataset is made.
        frame: viewer or object, the frame of every 3D target.
        views: stored, or online (fresh views rendered inside the loader for training).
        points: true points in a training sample; m.
        test_points: true points in validation and test.
        batch_size: samples a step.
        augment: what changes between two looks in training.
        workers: loader processes; 0 loads in the training process.
        validation_views: views in validation, spread evenly.
        test_views: views of each test object, all when None.
        limit: only so many training objects, and a third as many of each other split: for debugging.
        train_objects: of a dataset on disk, train with so many objects of each category, all when None.
        train_views: and with the first so many stored views of each, all when None.
        leave_out: categories that training and validation never see; tests still report them.
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
        workers: int = 0,
        validation_views: int = 256,
        test_views: int | None = None,
        limit: int | None = None,
        train_objects: int | None = None,
        train_views: int | None = None,
        leave_out: str | Sequence[str] = (),
        seed: int = 0,
    ) -> None:
        super().__init__()
        if min(points, test_points, batch_size, validation_views, test_views or 1) < 1 or workers < 0:
            raise UserError("data.points, test_points, batch_size, validation_views and test_views must be at least 1")
        check_frame(frame)
        if views not in ("stored", "online"):
            raise UserError(f"data.views must be stored or online, got '{views}'")
        if views == "online" and train_views is not None:
            raise UserError("data.train_views counts stored views, but data.views=online renders new: set one")
        left_out = (leave_out,) if isinstance(leave_out, str) else tuple(leave_out)
        self.selection = Selection(train_objects, train_views, left_out)
        self.name, self.root = name, Path(root)
        self.source = source if source is None or limit is None else LimitedSource(source, limit)
        self.synthesis, self.frame, self.views = synthesis or SynthesisSettings(), frame, views
        self.points, self.test_points, self.batch_size = points, test_points, batch_size
        self.augment, self.workers, self.seed = augment, workers, seed
        self.validation_views, self.test_views = validation_views, test_views
        self.keys: tuple[str, ...] = ("points",)
        self.scored: tuple[str, ...] = ()
        self.reader: DatasetReader | None = None
        self.start = (0, 0)
        self.tested: tuple[str, ...] = TEST_SPLITS  # what a test scores; an evaluation may choose another split
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
    def info(self) -> Mapping[str, Any]:
        """What dataset.json says."""
        return self.opened.info

    def rows(self, split: str) -> list[tuple[str, int]]:
        """(object id, view) of a split, without what training is not to see."""
        return self.selection.rows(self.opened.objects, split)

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
        keys = keys or (self.keys if split == "train" else tuple(sorted({*self.keys, *self.scored})))
        options = (self.opened, rows, keys, count, self.frame, self.augment, self.seed, spare)
        if self.views == "online" and split == "train":
            return OnlineViewDataset(*options, settings=self.synthesis)
        return ViewDataset(*options)

    def splits(self) -> list[str]:
        """The splits that a test scores, as far as this dataset has them."""
        return [split for split in self.tested if self.opened.index(split=split)]

    def preview(self, split: str = "test", count: int = PREVIEWS) -> list[Any]:
        """Fixed views spread over a split, one an object, for pictures."""
        dataset = self.dataset(split)
        objects = sorted({name for name, _ in dataset.rows})
        chosen = {objects[i] for i in np.linspace(0, len(objects) - 1, min(count, len(objects))).astype(int)}
        first = {name: i for i, (name, _) in reversed(list(enumerate(dataset.rows))) if name in chosen}
        return [dataset[i] for _, i in sorted(first.items())]

    # --- resuming -------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """How far training has come: what loader processes have read ahead does not count."""
        assert self.trainer is not None
        done = self.trainer.fit_loop.epoch_loop.batch_progress.current.completed
        return {"epoch": self.trainer.current_epoch, "batches": done}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from there."""
        self.start = (state_dict["epoch"], state_dict["batches"])

    # --- loaders ---------------------------------------------------------------------------------------------------

    def train_dataloader(self) -> DataLoader:
        """Endless in the number of epochs; the last uneven batch is dropped."""
        dataset = self.dataset("train")
        size = min(self.batch_size, len(dataset))
        epoch, batches = self.start
        sampler = EpochSampler(len(dataset), self.seed, start=(epoch, batches * size))
        return self._loader(dataset, sampler=sampler, batch_size=size, drop_last=True)

    def val_dataloader(self) -> DataLoader:
        """An even spread of validation views."""
        dataset = self.dataset("val")
        count = min(self.validation_views, len(dataset))
        chosen = np.linspace(0, len(dataset) - 1, count).astype(int).tolist()
        return self._loader(Subset(dataset, chosen), batch_size=self.batch_size)

    def test_dataloader(self) -> list[DataLoader]:
        """One loader for each of `splits()`; processes share the views out, the last of them repeats a few."""
        datasets = [self.dataset(split) for split in self.splits()]
        return [self._loader(d, batch_size=self.batch_size, sampler=_shared(d)) for d in datasets]

    def _loader(self, dataset: Any, **options: Any) -> DataLoader:
        return DataLoader(dataset, num_workers=self.workers, persistent_workers=self.workers > 0, **options)


def _shared(dataset: Any) -> DistributedSampler | None:
    """Every world-size-th view, in order; None in a single process."""
    if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
        return None
    return DistributedSampler(dataset, shuffle=False)
