"""Image -> occupancy field, image -> voxels: what both have in common."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from lit3d.metrics import ScoreTable
from lit3d.metrics.field import THRESHOLDS, curve
from lit3d.modules.base import ReconstructionModule
from lit3d.ops.grids import splat, trilinear
from lit3d.structures import Structure, VoxelGrid

GRID = 32  # voxels a side of the mean occupancy
SHARE = 0.35  # of a voxel that makes it part of the row ceiling: a half would lose thin parts


class FieldModule(ReconstructionModule):
    """Trains a network that predicts a `Solid`.

    Validation tunes the threshold: of `THRESHOLDS` the one with the best mean IoU, kept in the network's buffer `level`
    (as a logit) and so in the checkpoint; a signed distance has its level at 0. `val/iou` is the IoU at it.
    The mean training occupancy is gathered on a grid on the way, for the row that no image enters.
    """

    occupied: Tensor
    seen: Tensor
    constant_level: Tensor

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.register_buffer("occupied", torch.zeros(1, GRID, GRID, GRID))
        self.register_buffer("seen", torch.zeros(1, GRID, GRID, GRID))
        self.register_buffer("constant_level", torch.tensor(0.5))
        self.curves = {name: ScoreTable() for name in ("own", "constant")}
        logits = torch.tensor(THRESHOLDS).logit().tolist()
        self.levels = {"own": logits if self.network.field == "occupancy" else [0.0], "constant": THRESHOLDS}

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        """One step on one batch."""
        with torch.no_grad():
            uniform = self.uniform_share(batch["queries"].shape[1])
            places, inside = batch["queries"][:, :uniform].float(), batch["occupancy"][:, :uniform].float()
            sums, weights = splat(places, inside, GRID, self.network.bound)  # type: ignore[arg-type]
            self.occupied += sums.sum(0, keepdim=True)
            self.seen += weights.sum(0, keepdim=True)
        return super().training_step(batch, batch_idx)

    def uniform_share(self, count: int) -> int:
        """How many of a training sample's queries are uniform, the first ones: a mean over others would be biased."""
        data = self.config.get("data", {})
        return max(1, count - round(data.get("near", 0.0) * count) - round(data.get("far", 0.0) * count))

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """The loss, and the IoU at all thresholds."""
        prediction = self(batch)
        places, inside = batch["queries"], batch["occupancy"]
        values = {"own": prediction.at(places),
                  "constant": trilinear(self.mean().expand(len(places), -1, -1, -1), places, self.network.bound)}  # type: ignore[arg-type]  # fmt: skip
        for name, table in self.curves.items():
            scores = curve(values[name], inside, self.levels[name])
            table.to(self.device).update({str(k): v for k, v in enumerate(scores.values())})
        self.validation_scores.update(self.metrics(prediction, batch, final=False))
        self.validation_scores.update({"loss": self.objective(prediction, batch)[0].reshape(1)})

    def on_validation_epoch_end(self) -> None:
        """Choose the thresholds, before the weights are kept that they belong to."""
        buffers = {"own": self.network.level, "constant": self.constant_level}
        for name, table in self.curves.items():
            scores = torch.stack(list(table.compute().values()))
            best = int(scores.argmax())
            buffers[name].fill_(self.levels[name][best])  # type: ignore[operator]
            table.reset()
            if name == "own":
                self.log("val/iou", scores[best])
                self.log("val/level", self.levels[name][best])
        super().on_validation_epoch_end()

    def mean(self) -> Tensor:
        """(1, n, n, n) mean training occupancy on the cube, 0 where no query was."""
        return self.occupied / self.seen.clamp_min(1e-6)

    def rows(self, batch: Mapping[str, Any]) -> dict[str, Structure]:
        """mean_occupancy: the same solid for all images, where the mean of training is above its tuned threshold."""
        count = len(batch["image"])
        half: float = self.network.bound  # type: ignore[assignment]
        mean = self.mean().expand(count, -1, -1, -1)
        once = VoxelGrid(self.constant_level.expand(1), half, mean[:1]).extracted()
        return {"mean_occupancy": VoxelGrid(self.constant_level.expand(count), half, mean, meshes=once * count)}


class OccupancyModule(FieldModule):
    """Trains a network that predicts an `OccupancyField` (Mescheder et al. 2019)."""


class VoxelModule(FieldModule):
    """Trains a network that predicts a `VoxelGrid`."""

    def rows(self, batch: Mapping[str, Any]) -> dict[str, Structure]:
        """Those of fields, and ceiling: the truth on the network's grid, from the batch's own queries.

        Each voxel holds the mean occupancy of the queries around its centre, and the solid is where that is above
        `SHARE`. With few queries a voxel (fewer than 8 or so, at 64 voxels a side) the row is too good: it has seen the
        places that it is scored at. Of an object whose inside nobody knows it is empty.
        """
        found = super().rows(batch)
        if "queries" not in batch:
            return found
        half, size = self.network.bound, self.network.resolution
        sums, weights = splat(batch["queries"], batch["occupancy"].nan_to_num(), size, half)  # type: ignore[arg-type]
        truth = sums / weights.clamp_min(1e-6)
        level = truth.new_full((len(truth),), SHARE)
        return found | {"ceiling": VoxelGrid(level, half, truth)}  # type: ignore[arg-type]
