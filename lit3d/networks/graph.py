"""Networks on the vertices of a mesh: features (b, v, c) beside a topology that all samples share."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from lit3d.ops.mesh import Topology


class GraphConvolution(nn.Module):
    """A vertex's own features and the mean of its neighbours', each through a matrix: x W0 + mean W1 + b.

    Wang et al. 2018 (Pixel2Mesh) with the mean in place of the sum: the step does not grow with a vertex's
    degree. (Their code multiplies by a rescaled Laplacian: on regular graphs that is the same, W0 and W1 mixed.)
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.own, self.around = nn.Linear(inputs, outputs), nn.Linear(inputs, outputs, bias=False)

    def forward(self, x: Float[Tensor, "b v c"], topology: Topology) -> Float[Tensor, "b v d"]:
        """Neighbours are averaged on the narrower side of the matrix: it is the same, and that is what costs memory."""
        if self.own.in_features <= self.own.out_features:
            return self.own(x) + self.around(topology.neighbour_mean(x))
        return self.own(x) + topology.neighbour_mean(self.around(x))


class GraphResidual(nn.Module):
    """(x + f(x)) / 2 with f two graph convolutions, each before a ReLU (Pixel2Mesh's G-ResNet)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = GraphConvolution(width, width), GraphConvolution(width, width)

    def forward(self, x: Float[Tensor, "b v c"], topology: Topology) -> Float[Tensor, "b v c"]:
        """Features -> features."""
        y = functional.relu(self.first(x, topology))
        return 0.5 * (x + functional.relu(self.second(y, topology)))


class GraphDeformation(nn.Module):
    """One block: what is known at each vertex -> features that are carried on, and the way that the vertex moves.

    Args:
        inputs: channels at a vertex.
        code_size: length of the image's code, which every vertex reads.
        width: channels of the features.
        residuals: pairs of convolutions.
    """

    def __init__(self, inputs: int, code_size: int, width: int, residuals: int) -> None:
        super().__init__()
        self.enter, self.from_code = GraphConvolution(inputs, width), nn.Linear(code_size, width, bias=False)
        self.residuals = nn.ModuleList(GraphResidual(width) for _ in range(residuals))
        self.move = GraphConvolution(width, 3)
        with torch.no_grad():  # begin with the mesh as it comes in
            self.move.own.bias.zero_()
            for weight in (self.move.own.weight, self.move.around.weight):
                weight.mul_(0.1)

    def forward(
        self, x: Float[Tensor, "b v c"], code: Float[Tensor, "b k"], topology: Topology
    ) -> tuple[Float[Tensor, "b v w"], Float[Tensor, "b v 3"]]:
        """Features and offsets; the offsets in float32."""
        x = functional.relu(self.enter(x, topology) + self.from_code(code)[:, None])
        for residual in self.residuals:
            x = residual(x, topology)
        with torch.autocast(x.device.type, enabled=False):  # coordinates need more than bfloat16's 8 bits
            return x, self.move(x.float(), topology)
