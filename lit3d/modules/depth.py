"""Image -> depth map."""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from lit3d.modules.base import ReconstructionModule
from lit3d.ops.depth import rays, valid_depth
from lit3d.structures import DepthMap, Structure


class DepthModule(ReconstructionModule):
    """Trains a network that predicts a `DepthMap`.

    The network begins at the mean distance of the training cameras, which every network may know. `typical` is the mean
    true depth of an object pixel in training so far, the best that can be said of a depth without an image.
    """

    typical: Tensor

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.register_buffer("typical", torch.zeros(2, dtype=torch.float64))  # sum of batches' means, their number

    def on_fit_start(self) -> None:
        """Begin at the nominal distance; a resumed run has its own."""
        camera = self.config.get("camera")
        if camera is not None and self.trainer.ckpt_path is None:
            self.network.nominal.fill_(camera["distance"])  # type: ignore[operator, union-attr]

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        """One step on one batch."""
        if "depth" in batch:
            depth = batch["depth"][valid_depth(batch["depth"], batch.get("mask"))]
            if len(depth):
                self.typical += torch.stack([depth.mean().double(), depth.new_ones((), dtype=torch.float64)])
        return super().training_step(batch, batch_idx)

    def rows(self, batch: Mapping[str, Any]) -> dict[str, Structure]:
        """Depth without a network, of the true object pixels.

        constant_depth: one plane for all images, at the mean true depth of training; median_plane: for each image a
        plane at its median true depth; facing_camera: a sphere about the camera at that depth, whose normals face it;
        true_visible_surface: the true depth, all that a depth map can tell of an object.
        """
        if not {"depth", "mask"} <= set(batch):
            return {}
        depth, mask = batch["depth"], valid_depth(batch["depth"], batch["mask"])
        middle = medians(depth, mask)[:, None, None, None].expand_as(depth)
        total, steps = self.typical.tolist()
        typical = total / steps if steps else float(self.network.nominal)  # type: ignore[arg-type]
        seen = rays(batch["intrinsics"], *depth.shape[2:])
        sphere = middle / seen.norm(dim=1, keepdim=True)
        camera = {k: batch[k] for k in ("intrinsics", "pose")}
        constant = torch.full_like(depth, typical)
        return {
            "constant_depth": DepthMap(constant, mask, **camera),
            "median_plane": DepthMap(middle, mask, **camera),
            "facing_camera": DepthMap(sphere, mask, normal=-torch.nn.functional.normalize(seen, dim=1), **camera),
            "true_visible_surface": DepthMap(depth, mask, normal=batch.get("normal"), **camera),
        }


def medians(depth: Float[Tensor, "b 1 h w"], mask: Bool[Tensor, "b 1 h w"]) -> Float[Tensor, " b"]:
    """Median depth over the mask of each image; 0 where the mask is empty, which makes a counted failure."""
    return torch.where(mask, depth, torch.nan).flatten(1).nanmedian(dim=1).values.nan_to_num(0.0)
