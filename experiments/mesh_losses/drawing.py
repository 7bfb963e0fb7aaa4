"""Wireframes of fitted meshes, seen from one side."""

from pathlib import Path

import matplotlib
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from experiments.mesh_losses.targets import Target
from lit3d.ops.mesh import Topology, face_normals
from lit3d.ops.neighbours import nearest

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from mpl_toolkits.mplot3d.art3d import Poly3DCollection

LIGHT = np.array([0.35, 0.8, 0.5])
CLOTH, WRONG = np.array([0.62, 0.74, 0.88]), np.array([0.86, 0.16, 0.16])
SIDES = {"azim": 35, "elev": 22}


def against(vertices: Float[Tensor, "v 3"], topology: Topology, target: Target) -> np.ndarray:
    """Which faces (f,) look against the nearest true normal."""
    truth, normals = target.sample(20_000, 3)
    centres = vertices[topology.faces].mean(1)[None]
    theirs = normals[0, nearest(centres, truth)[1][0]]
    return ((face_normals(vertices[None], topology.faces)[0] * theirs).sum(-1) < 0).numpy()


def draw_mesh(
    figure: Figure, place: tuple[int, int, int], vertices: Float[Tensor, "v 3"], topology: Topology, title: str,
    wrong: np.ndarray | None = None, wires: float = 0.15, reach: float = 0.42,
) -> None:  # fmt: skip
    """One mesh as shaded triangles with their edges; `wrong` faces are red. The y axis points up."""
    axes = figure.add_subplot(*place, projection="3d")
    shade = 0.45 + 0.55 * np.abs(face_normals(vertices[None], topology.faces)[0].numpy() @ LIGHT)
    base = np.where((np.zeros(len(shade), bool) if wrong is None else wrong)[:, None], WRONG, CLOTH)
    corners = vertices[topology.faces].numpy()[:, :, [2, 0, 1]]
    colours = np.clip(base * shade[:, None], 0, 1)
    axes.add_collection3d(Poly3DCollection(corners, facecolors=colours, edgecolors=(0, 0, 0, 0.75), linewidths=wires))
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), zlim=(-reach, reach))
    axes.set_box_aspect((1, 1, 1), zoom=1.05)
    axes.view_init(**SIDES)
    axes.set_axis_off()
    axes.set_title(title, fontsize=9, y=1.0)


def save(figure: Figure, path: Path) -> None:
    """Write the picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def long_edges(vertices: Float[Tensor, "v 3"], topology: Topology) -> float:
    """Longest edge over the mean one: a vertex that flies pulls its edges along."""
    ends = vertices[topology.edges]
    length = torch.linalg.vector_norm(ends[:, 0] - ends[:, 1], dim=1)
    return float(length.max() / length.mean())
