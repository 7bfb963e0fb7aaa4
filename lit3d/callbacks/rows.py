"""The rows beside a model's score: for each test view, the points that each of them answers."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lit3d.callbacks.clusters import Clusters
from lit3d.callbacks.encoded import Encoded
from lit3d.callbacks.kept import kept, of_rows
from lit3d.callbacks.references import Neighbours
from lit3d.callbacks.solids import retrieved_iou
from lit3d.metrics import reference

ROWS = ("mean_shape", "clustering", "retrieval", "retrieval_by_features", "oracle", "truth_resampled")
RETRIEVALS = ("retrieval", "retrieval_by_features")
POOL = 1024  # points of each training shape that constants are made of


class ReferenceRows:
    """Answers without a reconstruction, and the truth itself, for the views of a test.

    All but retrieval by features is found once for a dataset and kept beside it; docs/references.md says how.

    Args:
        data: a data module that is set up.
        points: n.
        clusters: of the row clustering; 0 leaves it out.
    """

    def __init__(self, data: Any, points: int, clusters: int) -> None:
        self.data, self.n = data, points
        self.neighbours = {split: Neighbours(data, split, points) for split in data.splits()}
        self.constant = mean_shape_of(data, points)
        self.clusters = Clusters(data, points, clusters) if clusters else None
        self.encoded: Encoded | None = None

    def encode(self, module: Any, images: int) -> None:
        """Encode training images with the weights under test; networks without `code` have no such row."""
        self.encoded = Encoded(self.data, module, images) if images and hasattr(module.network, "code") else None

    def points(self, batch: Mapping[str, Any], split: str) -> dict[str, Tensor]:
        """(b, n, 3) in the target frame for each of `ROWS` that there is."""
        truth = batch["points"]
        found = {"mean_shape": self.constant.to(truth).expand(len(truth), -1, -1).contiguous()}
        if self.clusters is not None:
            found["clustering"] = self.clusters.points(batch)
        found |= self.neighbours[split].points(batch, self.n)
        if self.encoded is not None:
            found["retrieval_by_features"] = self.encoded.points(batch, self.n)
        if "spare_points" in batch and batch["spare_points"].shape[1] >= self.n:
            found["truth_resampled"] = batch["spare_points"][:, : self.n].contiguous()
        return {name: found[name] for name in ROWS if name in found}

    def iou(self, batch: Mapping[str, Any], split: str) -> dict[str, Tensor]:
        """(b,) IoU over a batch's queries of the rows that are solids: of retrieval by pixels alone."""
        if "queries" not in batch:
            return {}
        neighbours, views = self.neighbours[split], zip(batch["object"], batch["view"].tolist(), strict=True)
        rows = [neighbours.train.rows[neighbours.seen[view]] for view in views]
        return {"retrieval": retrieved_iou(self.data.opened, rows, batch, self.data.frame)}


def mean_shape_of(data: Any, points: int) -> torch.Tensor:
    """The best constant prediction of a data module's training set, kept beside the dataset.

    Returns:
        (n, 3) in the target frame.
    """
    dataset = data.dataset("train", keys=("points",), points=min(max(points, POOL), data.opened.point_count))

    def find() -> dict[str, np.ndarray]:
        chosen = np.random.default_rng(0).permutation(len(dataset))[:512]
        shapes = torch.stack([dataset.truth(int(i)) for i in chosen])
        return {"points": reference.mean_shape(lambda: [shapes], points).numpy()}

    depends = {"train": of_rows(dataset.rows), "frame": data.frame, "points": points}
    return torch.from_numpy(kept(data, "mean_shape", depends, find)["points"])
