"""What data modules of images share: loaders of each split, fixed views for pictures, resuming."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch.distributed as dist
from torch.utils.data import DataLoader, DistributedSampler, Subset

from lit3d.data.sampler import EpochSampler

TEST_SPLITS = ("test", "test_authors")
PREVIEWS = 6  # fixed test views that pictures show


class LoadedDataModule(pl.LightningDataModule):
    """Loaders over `dataset(split)`, whose `rows` are (object, view) and whose items as (epoch, index) are augmented.

    Attributes:
        name: in run folders and tables.
        frame: viewer or object.
        batch_size: samples a step.
        validation_views: samples in validation, spread evenly.
        workers: loader processes; 0 loads in the training process.
        seed: the run's seed.
        tested: splits that a test scores; an evaluation may choose others.
        gives_points: whether samples hold true points: reference rows and scores of point sets need them.
        unit: of length, for people.
    """

    gives_points = True
    unit = "longest side"

    name: str
    frame: str
    batch_size: int
    validation_views: int
    workers: int
    seed: int

    def __init__(self) -> None:
        super().__init__()
        self.tested: tuple[str, ...] = TEST_SPLITS
        self.start = (0, 0)

    def dataset(self, split: str, *, keys: Sequence[str] | None = None, points: int | None = None) -> Any:
        """Samples of a split."""
        raise NotImplementedError

    @property
    def opened(self) -> Any:
        """What reads it, with a fingerprint of its content."""
        raise NotImplementedError

    def facts(self) -> dict[str, Any]:
        """What results.json says about the data."""
        return {"name": self.name, "frame": self.frame, "unit": self.unit, "version": self.opened.fingerprint}

    def splits(self) -> list[str]:
        """The splits that a test scores, as far as this dataset has them."""
        raise NotImplementedError

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
