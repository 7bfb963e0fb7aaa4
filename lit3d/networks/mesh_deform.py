"""Image -> mesh by deforming a template (Wang et al. 2018, Pixel2Mesh)."""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lit3d.errors import UserError
from lit3d.networks.camera import NominalCamera, code_size, encode, known_camera, reads_with, seen_at
from lit3d.networks.graph import GraphDeformation
from lit3d.networks.pooling import SummedMaps, perceptual_pooling
from lit3d.networks.templates import MeshTemplate
from lit3d.ops.mesh import with_midpoints
from lit3d.structures import Mesh

LOSS_POINTS = ("vertices", "surface")


class MeshDeformNet(nn.Module):
    """Encoder and blocks that move the vertices of a template, coarse to fine; predicts a `Mesh`.

    Each block reads, at every vertex, the encoder's maps where the vertex is seen, its position, what the block before
    carried along, and the image's code (which the paper lacks: a 64-pixel image leaves little to pool, and the code is
    what other representations have). Between blocks each face becomes four (graph unpooling: edge midpoints). A block
    adds offsets to positions, as the paper's text says; its code predicts positions anew.

    Args:
        encoder: image -> `Features`.
        template: the mesh to begin with.
        image_size: side of the images, for the camera that is assumed until `use_camera`.
        blocks: how many; blocks - 1 subdivisions.
        width: channels of graph convolutions.
        residuals: pairs of them in each block.
        maps: of the encoder's maps, the finest so many are read.
        channels: of the sum that these are brought to before it is read, see `SummedMaps`.
        camera: nominal, or known: the camera of each image is read from the batch.
        loss_points: what set losses read of the prediction: vertices, or surface.
        samples: how many of the surface that is.

    Raises:
        UserError: blocks, width, maps, channels or samples below 1, residuals below 0, another word for `loss_points`.
    """

    predicts: ClassVar[type[Mesh]] = Mesh

    def __init__(
        self,
        encoder: nn.Module,
        template: MeshTemplate,
        image_size: int = 64,
        blocks: int = 3,
        width: int = 64,
        residuals: int = 2,
        maps: int = 4,
        channels: int = 64,
        camera: str = "nominal",
        loss_points: str = "vertices",
        samples: int = 1024,
    ) -> None:
        super().__init__()
        if min(blocks, width, maps, channels, residuals + 1, samples) < 1:
            raise UserError(
                "blocks, width, maps, channels and samples of mesh_deform must be at least 1 and residuals at least 0, "
                f"got {blocks}, {width}, {maps}, {channels}, {samples} and {residuals}"
            )
        if loss_points not in LOSS_POINTS:
            raise UserError(f"model.loss_points must be {' or '.join(LOSS_POINTS)}, got '{loss_points}'")
        self.loss_points, self.samples = loss_points, samples
        self.encoder, self.camera, self.reads = encoder, camera, reads_with(camera)
        self.template, self.assumed = template.levels(blocks), NominalCamera(image_size)
        self.pooling = SummedMaps(encoder.map_channels, maps, channels)  # type: ignore[arg-type]
        inputs, code = channels + 3, code_size(encoder, camera)
        carried = [0, *[width] * (blocks - 1)]
        self.blocks = nn.ModuleList(GraphDeformation(inputs + c, code, width, residuals) for c in carried)

    def use_camera(self, camera: Mapping[str, Any]) -> None:
        """Assume this camera of every image; with data.camera=known each image brings its own."""
        self.assumed.use(camera)

    def forward(self, batch: Mapping[str, Any]) -> Mesh:
        """Batch with `image` (b, 3, h, w) in [0, 1] -> the mesh of the last block, which holds those before it."""
        image = batch["image"]
        code, maps = encode(self.encoder, batch, self.camera)
        image_features = self.pooling.summed(maps).float()  # as pooling reads it, and not once a block
        lens, pose = known_camera(batch) if self.camera == "known" else self.assumed(image.shape[0])
        topologies = self.template.topologies
        vertices = self.template.vertices.expand(image.shape[0], -1, -1)
        carried: list[Tensor] = []
        stages: list[Mesh] = []
        for i, block in enumerate(self.blocks):
            if i:
                edges = topologies[i - 1].edges
                vertices, *carried = (with_midpoints(values, edges) for values in (vertices, *carried))
            seen = perceptual_pooling([image_features], seen_at(vertices, lens, pose, image.shape[-2:]))
            features, offsets = block(torch.cat([seen, vertices, *carried], dim=2), code, topologies[i])
            carried = [features]
            before, vertices = vertices, vertices + offsets
            stages.append(Mesh(vertices, topologies[i], before=before, coarser=tuple(stages)))
        return stages[-1]

    def undeformed(self, count: int) -> Mesh:
        """The template at the finest level, for `count` images."""
        vertices = self.template.at_level(len(self.blocks) - 1)
        return Mesh(vertices.expand(count, -1, -1), self.template.topologies[len(self.blocks) - 1])

    def code(self, batch: Mapping[str, Any]) -> Float[Tensor, "b c"]:
        """What the encoder makes of each image: retrieval by features compares these."""
        return self.encoder(batch["image"]).code
