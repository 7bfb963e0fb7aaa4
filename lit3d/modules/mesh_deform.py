"""Image -> mesh."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from lit3d.losses import Term, needs_pairs
from lit3d.modules.base import ReconstructionModule
from lit3d.modules.randomness import generator
from lit3d.structures import Mesh, Structure


class MeshDeformModule(ReconstructionModule):
    """Trains a network that deforms a template into a `Mesh` (Wang et al. 2018, Pixel2Mesh).

    As in the paper, set losses are averaged over the meshes of all blocks. They read vertices, or with
    model.loss_points=surface `model.samples` area-uniform samples. A loss over pairs (emd) takes no more of either than
    there are true points: of more vertices a random subset without repetition, new in each step; of fewer, the truth
    gives so many. What is drawn is a function of seed, step and rank.
    """

    def __init__(self, network: nn.Module, terms: Sequence[Term], *args: Any, **options: Any) -> None:
        terms = [replace(t, stages="all") if "points" in t.reads else t for t in terms]
        super().__init__(network, terms, *args, **options)
        self.pairs = any(needs_pairs(t) for t in terms)

    def on_fit_start(self) -> None:
        """The network assumes the camera of the training views."""
        if "camera" in self.config:
            self.network.use_camera(self.config["camera"])  # type: ignore[operator]

    def objective(self, prediction: Structure, batch: Mapping[str, Any]) -> tuple[Tensor, dict[str, Tensor]]:
        """The objective, with the points that set losses read."""
        assert isinstance(prediction, Mesh)
        network: Any = self.network
        own = generator(self.config.get("seed", 0), self.global_step, self.global_rank, "points")
        if network.loss_points == "surface" or self.pairs:
            most = batch["points"].shape[1] if self.pairs else network.samples
            count = min(network.samples, most) if network.loss_points == "surface" else most
            prediction = prediction.with_points(network.loss_points, count, own)
        return super().objective(prediction, batch)

    def rows(self, batch: Mapping[str, Any]) -> dict[str, Structure]:
        """The template that nothing moved."""
        return {"template": self.network.undeformed(len(batch["image"]))}  # type: ignore[operator]
