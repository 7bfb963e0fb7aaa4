"""Why neither vertices nor edges stand for a surface: crowded vertices, and two connectivities of one surface.

    python -m experiments.mesh_losses.vertices        # vertices.png, seconds

No data and no network.
"""

import argparse
import time
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor

from experiments.mesh_losses.drawing import plt, save
from lit3d import ops
from lit3d.ops.mesh import Topology, sample_surface

HERE = Path(__file__).parent
COLUMNS = 41  # of vertices along x, and rows along y
HEIGHT = 0.15  # of the wrong half's ridge
SHARES = (0.1, 0.3, 0.5, 0.7, 0.9)


def ridge(share: float, columns: int = COLUMNS) -> tuple[Float[Tensor, "v 3"], Topology]:
    """A unit square that is correct (z = 0) for x < 1/2 and has a ridge of height `HEIGHT` at x = 3/4.

    The surface is the same for every `share`, the part of the columns that stand in the correct half: there are always
    columns at 0, 1/2, 3/4 and 1, between which it is flat.
    """
    left = max(2, round(share * (columns - 1)))
    right = columns - left
    up = right // 2 + 1
    parts = [torch.linspace(0, 0.5, left + 1)[:-1], torch.linspace(0.5, 0.75, up)[:-1]]
    x = torch.cat([*parts, torch.linspace(0.75, 1, columns - sum(map(len, parts)))])
    x, y = torch.meshgrid(x, torch.linspace(0, 1, columns), indexing="ij")
    z = HEIGHT * (1 - (x - 0.75).abs() / 0.25).clamp_min(0)
    return torch.stack([x, y, z], -1).reshape(-1, 3), grid(columns, columns)


def grid(rows: int, columns: int, other: bool = False) -> Topology:
    """Cells of two triangles each, cut along one diagonal or along the `other`."""
    index = torch.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = (i.flatten() for i in (index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]))
    halves = ((a, b, d), (b, c, d)) if other else ((a, b, c), (a, c, d))
    return Topology.of(torch.cat([torch.stack(corners, 1) for corners in halves]))


def crowding(samples: int = 20_000) -> dict[float, tuple[float, float]]:
    """Chamfer distance to the flat square of vertices, and of surface samples, by the share of correct columns."""
    flat, faces = torch.tensor([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]]), torch.tensor([[0, 1, 2], [0, 2, 3]])
    truth = sample_surface(flat[None], faces, samples, torch.Generator().manual_seed(0))[0]
    found = {}
    for share in SHARES:
        vertices, topology = ridge(share)
        points = sample_surface(vertices[None], topology.faces, samples, torch.Generator().manual_seed(1))[0]
        found[share] = tuple(float(ops.chamfer(p, truth)) for p in (vertices[None], points))
    return found


def edge_set(edges: Int[Tensor, "e 2"]) -> set[tuple[int, ...]]:
    """Edges to compare."""
    return {tuple(edge) for edge in edges.tolist()}


def two_connectivities(side: int = 5) -> tuple[Float[Tensor, "v 3"], Topology, Topology, float]:
    """One flat square, the same vertices, cells cut along either diagonal; share of edges that both have."""
    step = torch.linspace(0, 1, side)
    x, y = torch.meshgrid(step, step, indexing="ij")
    first, second = grid(side, side), grid(side, side, other=True)
    ours, theirs = edge_set(first.edges), edge_set(second.edges)
    return torch.stack([x, y, 0 * x], -1).reshape(-1, 3), first, second, len(ours & theirs) / len(ours | theirs)


def _wires(axes: plt.Axes, at: Tensor, edges: Tensor, **style: object) -> None:
    a, b = at[edges].unbind(1)
    axes.plot(torch.stack([a[:, 0], b[:, 0]]), torch.stack([a[:, 1], b[:, 1]]), color="#2b6cb0", **style)
    axes.set(aspect="equal", xticks=[], yticks=[])


def draw(found: dict[float, tuple[float, float]], path: Path) -> None:
    """Upper row: the same ridge with its vertices spread and crowded, the two distances. Lower row: connectivities."""
    figure, axes = plt.subplots(2, 3, figsize=(11, 7.4), layout="constrained")
    for place, share in zip(axes[0], (0.5, 0.9), strict=False):
        at, topology = ridge(share, 21)
        _wires(place, at, topology.edges, lw=0.5)
        place.axvspan(0.5, 1, color="#c53030", alpha=0.12, lw=0)
        place.set_title(f"one surface, wrong in the red half;\n{share:.0%} of the columns in the correct half", size=10)
    curve = axes[0, 2]
    vertex, surface = zip(*found.values(), strict=True)
    curve.plot(list(found), vertex, "o-", color="#c53030", label="vertices")
    curve.plot(list(found), surface, "o-", color="#2f855a", label="surface samples")
    curve.set(xlabel="share of columns in the correct half", ylabel="Chamfer distance (squared)", ylim=(0, None))
    curve.set_title("crowding is rewarded\nby the vertices' distance only", size=10)
    curve.legend(frameon=False)
    curve.spines[["top", "right"]].set_visible(False)
    at, first, second, shared = two_connectivities()
    _wires(axes[1, 0], at, first.edges)
    _wires(axes[1, 1], at, second.edges)
    both, mean = edge_set(first.edges) & edge_set(second.edges), axes[1, 2]
    _wires(mean, at, torch.tensor(sorted(both)))
    for topology in (first, second):
        _wires(mean, at, torch.tensor(sorted(edge_set(topology.edges) - both)), alpha=0.35)
    axes[1, 0].set_title("one surface, one set of vertices:\none connectivity", size=10)
    axes[1, 1].set_title(f"another, equally correct;\n{shared:.0%} of all edges are in both", size=10)
    mean.set_title("their mean, what regressed edges become:\nhalf edges that cross, no mesh", size=10)
    save(figure, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=HERE, help="folder of the picture")
    arguments = parser.parse_args()
    began, found = time.perf_counter(), crowding()
    for share, (vertex, surface) in found.items():
        print(f"{share:.0%} of the columns in the correct half: vertices {vertex:.2e}, surface samples {surface:.2e}")
    at, first, second, shared = two_connectivities()
    ways = [sample_surface(at[None], t.faces, 10_000, torch.Generator().manual_seed(s))[0]
            for s, t in enumerate((first, second, first))]  # fmt: skip
    print(
        f"two connectivities of one surface share {shared:.0%} of their edges; Chamfer between them "
        f"{float(ops.chamfer(ways[0], ways[1])):.2e}, between two samples of one {float(ops.chamfer(*ways[::2])):.2e}"
    )
    draw(found, arguments.out / "vertices.png")
    print(f"{time.perf_counter() - began:.1f} s; {arguments.out / 'vertices.png'}")


if __name__ == "__main__":
    main()
