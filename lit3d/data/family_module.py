"""Fresh samples of a shape family in every step: the data of the mean-shape laboratory."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from lit3d.data.families import STEPS, STRATEGIES, Family, parameters, shares
from lit3d.data.sampler import rank_and_world
from lit3d.errors import UserError

ENDLESS = 2**31  # steps of the one epoch
KEYS = ("points", "hidden")
TRAIN, TEST, MEMBERS, UNION, START = range(5)  # purposes that draw independently


class FamilyDataModule(pl.LightningDataModule):
    """Batches of point sets of a family: a function of (seed, step, rank).

    Args:
        name: in run folders and tables.
        family: what is drawn.
        points: of each sample; n.
        batch_size: samples a step.
        sampling: of the points: stratified (a lattice shifted at random) or iid.
        hidden_sampling: of the hidden number: stratified (one in each of batch_size quantiles) or iid.
        test_batches: batches of the expected loss.
        seed: the run's seed.

    Raises:
        UserError: a count below 1, or another word for how to sample.
    """

    nominal_camera = staticmethod(lambda: None)  # there are no images

    def __init__(
        self, name: str, family: Family, points: int = 200, batch_size: int = 8, sampling: str = "stratified",
        hidden_sampling: str = "stratified", test_batches: int = 32, seed: int = 0,
    ) -> None:  # fmt: skip
        super().__init__()
        for key, value in {"points": points, "batch_size": batch_size, "test_batches": test_batches}.items():
            if not isinstance(value, int) or value < 1:
                raise UserError(f"data.{key} must be a whole number of at least 1, got {value}")
        for key, word in {"sampling": sampling, "hidden_sampling": hidden_sampling}.items():
            if word not in STRATEGIES:
                raise UserError(f"data.{key} must be one of {', '.join(STRATEGIES)}, got '{word}'")
        self.name, self.family, self.points, self.batch_size = name, family, points, batch_size
        self.sampling, self.hidden_sampling, self.test_batches = sampling, hidden_sampling, test_batches
        self.seed, self.start = seed, 0

    def need(self, keys: Sequence[str], scored: Sequence[str] = ()) -> None:
        """Refuse networks and losses that read what a shape family does not have.

        Raises:
            UserError: such a key.
        """
        for key in (*keys, *scored):
            if key not in KEYS:
                raise UserError(f"a shape family has points and no '{key}': use model=free_points, or data with images")

    def make(self) -> None:
        """Nothing lies on disk."""

    def setup(self, stage: str | None = None) -> None:
        """Nothing to open."""

    def splits(self) -> list[str]:
        """Fresh samples are all the test there is."""
        return ["test"]

    def batch(self, step: int, purpose: int = TRAIN) -> dict[str, Tensor]:
        """What a step sees: `points` (b, n, d) and `hidden` (b,)."""
        draw = self._generator(purpose, step)
        chosen = shares(self.batch_size, self.hidden_sampling, draw, self._within(step, purpose))
        points = self.family.points(chosen, self.points, self.sampling, draw)
        return {"points": points, "hidden": self.family.hidden.quantile(chosen)}

    def members(self, most: int, points: int) -> tuple[Tensor, Tensor]:
        """Hidden numbers (k,) of members that stand for all, and their points (k, m, d), evenly spread."""
        chosen = self.family.members(most)
        spread = self.family.points(chosen, points, "stratified", self._generator(MEMBERS, 0))
        return self.family.hidden.quantile(chosen), spread

    def answer(self, name: str, points: int, phases: int) -> tuple[float, Tensor]:
        """Hidden number of the member that is the analytic `median` or `mean`, and samples (phases, m, d) of it."""
        number, draw = self.family.answer(name), self._generator(MEMBERS, 1)
        spread = parameters(phases, points, "stratified", draw)
        return float(number), self.family.shape(number.expand(phases), spread)

    def union(self, n: int) -> Tensor:
        """Points (n, d), each of another member drawn at random: where a loss without far reach starts."""
        draw = self._generator(UNION, 0)
        return self.family.points(shares(n, "stratified", draw), 1, "iid", draw)[:, 0]

    def _within(self, step: int, purpose: int) -> Tensor:
        """Where in its part of the quantiles each sample of a step lies: golden-ratio steps from a random start.

        So a few steps in a row cover each part evenly, too, and the average over them has hardly any noise.
        """
        start = torch.rand(self.batch_size, generator=self._generator(START, purpose), dtype=torch.float64)
        return (start + step * float(STEPS[0])).remainder(1.0).float()

    def _generator(self, purpose: int, step: int) -> torch.Generator:
        number = np.random.SeedSequence([self.seed, purpose, rank_and_world()[0], step]).generate_state(1, np.uint64)[0]
        return torch.Generator().manual_seed(int(number >> np.uint64(1)))

    # --- resuming and loaders ---------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """How many batches training has seen."""
        assert self.trainer is not None
        return {"batches": self.trainer.fit_loop.epoch_loop.batch_progress.current.completed}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from there."""
        self.start = state_dict["batches"]

    def train_dataloader(self) -> DataLoader:
        """One endless epoch."""
        return DataLoader(_Batches(self, TRAIN, ENDLESS), batch_size=None, sampler=_From(self.start, ENDLESS))

    def test_dataloader(self) -> DataLoader:
        """Samples that no step has seen."""
        return DataLoader(_Batches(self, TEST, self.test_batches), batch_size=None)


class _Batches(Dataset):
    """Batches by their number."""

    def __init__(self, data: FamilyDataModule, purpose: int, length: int) -> None:
        self.data, self.purpose, self.length = data, purpose, length

    def __getitem__(self, step: int) -> dict[str, Tensor]:
        return self.data.batch(step, self.purpose)

    def __len__(self) -> int:
        return self.length


class _From(Sampler[int]):
    """Steps in order; `len` counts those already seen, as Lightning does."""

    def __init__(self, start: int, length: int) -> None:
        self.start, self.length = start, length

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.start, self.length))

    def __len__(self) -> int:
        return self.length
