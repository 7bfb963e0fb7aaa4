"""The order of training: a function of (seed, epoch) alone, and the start of any epoch."""

from collections.abc import Iterator

import numpy as np
import torch.distributed as dist
from torch.utils.data import Sampler


class EpochSampler(Sampler[tuple[int, int]]):
    """Yields (epoch, index): the epoch travels with the index, so workers that outlive an epoch know it.

    Lightning calls `set_epoch`. Under DDP each process takes every world-size-th index of the same permutation,
    truncated to equal lengths.

    Args:
        length: number of samples.
        seed: the run's seed.
        start: (epoch, samples): what this process has already seen of the epoch that a resumed run goes on with.
    """

    def __init__(self, length: int, seed: int, start: tuple[int, int] = (0, 0)) -> None:
        self.length, self.seed, self.start = length, seed, start
        self.epoch = start[0]  # loader processes read ahead before Lightning calls set_epoch

    def set_epoch(self, epoch: int) -> None:
        """Choose the permutation of the next iteration."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """(epoch, index) in this epoch's order."""
        order = np.random.default_rng([self.seed, self.epoch]).permutation(self.length)
        rank, world = rank_and_world()
        mine = order[rank : len(order) - len(order) % world : world]
        seen = self.start[1] if self.start[0] == self.epoch else 0
        return iter([(self.epoch, int(i)) for i in mine[seen:]])

    def __len__(self) -> int:
        """Samples of this process in a whole epoch, those already seen included: Lightning counts them itself."""
        return self.length // rank_and_world()[1]


def rank_and_world() -> tuple[int, int]:
    """Number of this process, and how many there are."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1
