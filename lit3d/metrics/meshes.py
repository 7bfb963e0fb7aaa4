"""Scores of predicted meshes: those of every representation, and what a set distance cannot see."""

from collections.abc import Mapping
from typing import Any

from jaxtyping import Float
from torch import Tensor

from lit3d.metrics.mesh_quality import score_mesh
from lit3d.metrics.predictions import SetMetrics
from lit3d.structures import Mesh, Structure


class MeshMetrics(SetMetrics):
    """As `SetMetrics`; the test of a `Mesh` adds `edge_spread`, `roughness`, `folded`, `self_intersection`, `flipped`.

    `lit3d.metrics.mesh_quality` says what they are. `euler` is the characteristic of the topology: the template's.
    """

    def __call__(self, prediction: Structure, batch: Mapping[str, Any], final: bool) -> dict[str, Float[Tensor, " b"]]:
        """Scores (b,) by name; `final` in the test, not in validation."""
        scores = super().__call__(prediction, batch, final)
        if not (final and isinstance(prediction, Mesh)):
            return scores
        truth = batch["points"], batch.get("point_normals")
        quality = score_mesh(prediction.vertices, prediction.topology, *truth)
        return scores | {name: values for name, values in quality.items() if name not in scores}
