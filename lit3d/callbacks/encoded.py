"""Retrieval with what a network has learnt: the training image whose code is nearest."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from rich.progress import track
from torch import Tensor
from torch.nn.functional import normalize
from torch.utils.data import DataLoader, Subset

BATCH = 128
PATIENCE = 1024  # fewer images than these are encoded without a progress bar


class Encoded:
    """Row *retrieval by features*: the object of the training image with the largest cosine to the test image's code.

    Codes depend on the weights, so nothing is kept: training images are encoded once a test.

    Args:
        data: a data module that is set up.
        module: the trained system, whose network has `code(batch) -> (b, c)`.
        images: how many training images, spread evenly over all, are encoded at most.
    """

    def __init__(self, data: Any, module: Any, images: int) -> None:
        train = data.dataset("train", keys=("points", *module.network.reads), points=1)
        every = len(train)
        self.chosen = np.unique(np.linspace(0, every - 1, min(images, every)).astype(int)).tolist()
        self.train = data.dataset("train", keys=("points",), points=min(module.metrics.points, data.opened.point_count))
        self.module = module
        loader = DataLoader(Subset(train, self.chosen), batch_size=BATCH)
        quiet = len(self.chosen) < PATIENCE or not module.trainer.is_global_zero
        bar = track(loader, "encoding training images", disable=quiet, transient=True)
        move = module.transfer_batch_to_device
        self.codes = torch.cat([self._code(move(batch, module.device, 0)) for batch in bar])

    def _code(self, batch: Mapping[str, Any]) -> Float[Tensor, "b c"]:
        with torch.no_grad():
            return normalize(self.module.network.code(batch).float(), dim=1)

    def points(self, batch: Mapping[str, Any], n: int) -> Float[Tensor, "b n 3"]:
        """N true points of the object found for each image of a batch, as its own view shows it."""
        nearest = (self._code(batch) @ self.codes.T).argmax(1).tolist()
        return torch.stack([self.train.truth(self.chosen[i])[:n] for i in nearest]).to(batch["points"])
