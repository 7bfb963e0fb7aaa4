"""The minimiser of the uniform loss with fixed topology, after its boundary moved: the graph's Laplace equation.

    python -m experiments.mesh_losses.laplace        # laplace.png, seconds

No data and no network.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from scipy.sparse import coo_array, diags_array
from scipy.sparse.linalg import spsolve
from torch import Tensor

from experiments.mesh_losses.drawing import draw_mesh, plt, save
from lit3d import losses
from lit3d.ops.mesh import Topology

HERE = Path(__file__).parent


def sheet(side: int = 17, seed: int = 0) -> tuple[Float[Tensor, "v 3"], Topology]:
    """A flat square of side^2 vertices with uneven connectivity: each cell is cut along a random diagonal."""
    step = torch.linspace(-0.5, 0.5, side, dtype=torch.float64)
    z, x = torch.meshgrid(step, step, indexing="ij")
    at = torch.stack([x, torch.zeros_like(x), z], -1).reshape(-1, 3)
    index = torch.arange(side**2).reshape(side, side)
    a, b, c, d = (i.flatten() for i in (index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]))
    other = torch.rand(len(a), generator=torch.Generator().manual_seed(seed)) < 0.5
    first = torch.where(other[:, None], torch.stack([a, b, d], 1), torch.stack([a, b, c], 1))
    second = torch.where(other[:, None], torch.stack([b, c, d], 1), torch.stack([a, c, d], 1))
    return at, Topology.of(torch.cat([first, second]))


def rim(topology: Topology) -> Tensor:
    """Which vertices (v,) lie on the boundary."""
    held = torch.zeros(topology.vertices, dtype=torch.bool)
    held[topology.edges[topology.boundary].flatten()] = True
    return held


def lifted(at: Float[Tensor, "v 3"]) -> Float[Tensor, "v 3"]:
    """Where the boundary goes: up at two opposite corners, down at the others."""
    return at + torch.stack([torch.zeros_like(at[:, 0]), at[:, 0] * at[:, 2], torch.zeros_like(at[:, 0])], 1)


def minimise(at: Float[Tensor, "v 3"], topology: Topology, held: Tensor) -> Float[Tensor, "v 3"]:
    """Descends the sum form of `uniform_edges` in the vertices that are not held (L-BFGS)."""
    free = at[~held].clone().requires_grad_()
    optimizer = torch.optim.LBFGS([free], max_iter=500, tolerance_grad=1e-12, line_search_fn="strong_wolfe")

    def whole() -> Tensor:
        return at.masked_scatter((~held)[:, None], free)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = losses.uniform_edges(whole()[None], topology.edges, form="sum")[0]
        loss.backward()
        return loss

    optimizer.step(closure)
    return whole().detach()


def solve(at: Float[Tensor, "v 3"], topology: Topology, held: Tensor) -> Float[Tensor, "v 3"]:
    """The sparse solution: each free vertex is the mean of its neighbours (Tutte 1963)."""
    a, b = topology.edges.numpy().T
    ones, count = np.ones(len(a)), topology.vertices
    adjacency = coo_array((np.r_[ones, ones], (np.r_[a, b], np.r_[b, a])), shape=(count, count)).tocsr()
    matrix, free = (diags_array(topology.degree.numpy().astype(float)) - adjacency).tocsr(), ~held.numpy()
    out = at.numpy().copy()
    out[free] = spsolve(matrix[free][:, free], -matrix[free][:, ~free] @ out[~free])
    return torch.from_numpy(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=HERE, help="folder of the picture")
    arguments = parser.parse_args()
    began = time.perf_counter()
    at, topology = sheet()
    held = rim(topology)
    start = torch.where(held[:, None], lifted(at), at)
    found, exact = minimise(start, topology, held), solve(start, topology, held)
    free = minimise(start, topology, torch.zeros_like(held))
    figure = plt.figure(figsize=(12, 3.2), layout="constrained")
    shown = {"the template": at, "its boundary moved": start, "least uniform loss, boundary held": found,
             "least uniform loss, nothing held: one point": free}  # fmt: skip
    for place, (title, mesh) in enumerate(shown.items(), 1):
        draw_mesh(figure, (1, len(shown), place), mesh.float(), topology, title, wires=0.5, reach=0.52)
    z, x, y = free.mean(0)[[2, 0, 1]].tolist()
    figure.axes[-1].scatter(z, x, y, s=20, color="black")  # all its vertices: nothing else would be seen
    save(figure, arguments.out / "laplace.png")
    print(f"largest difference to the sparse solution: {float((found - exact).abs().max()):.1e} of the side")
    print(f"without a held boundary: {float((free - free.mean(0)).abs().max()):.1e} from one point")
    print(f"{time.perf_counter() - began:.1f} s; {arguments.out / 'laplace.png'}")


if __name__ == "__main__":
    main()
