"""Five closed, connected meshes of genus 0, two of them furniture: what a sphere is fitted to."""

import io
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import trimesh
from jaxtyping import Float
from torch import Tensor

from lit3d.errors import UserError
from lit3d.ops.mesh import Topology, sample_surface

INSTALLED = Path("/usr/share/sweethome3d/furniture")


@dataclass(frozen=True, eq=False)
class Target:
    """A true surface, centred, longest side 1.

    Attributes:
        name: what it is called.
        convex: whether it is.
        vertices: (v, 3).
        topology: its faces.
    """

    name: str
    convex: bool
    vertices: Float[Tensor, "v 3"]
    topology: Topology

    def sample(self, count: int, seed: int) -> tuple[Float[Tensor, "1 n 3"], Float[Tensor, "1 n 3"]]:
        """Area-uniform points and outward normals."""
        generator = torch.Generator().manual_seed(seed)
        return sample_surface(self.vertices[None], self.topology.faces, count, generator)[:2]


def box() -> trimesh.Trimesh:
    """Sides 1, 0.6, 0.4."""
    return trimesh.creation.box((1, 0.6, 0.4))


def cylinder() -> trimesh.Trimesh:
    """Height 1, radius 0.3."""
    return trimesh.creation.cylinder(0.3, 1, sections=64)


def bowl() -> trimesh.Trimesh:
    """A thick-walled pot: outer radius 1, wall 0.25, height 1."""
    return trimesh.creation.revolve([[0, 0], [1, 0], [1, 1], [0.75, 1], [0.75, 0.3], [0, 0.3]], sections=64)


GENERATED: dict[str, tuple[bool, Callable[[], trimesh.Trimesh]]] = {
    "box": (True, box), "cylinder": (True, cylinder), "pot": (False, bowl),
}  # fmt: skip
# Parts of models of the Debian package sweethome3d-furniture: archive, file in it, which closed part.
FURNITURE = {
    "seat": ("KatorLegaz", "katorlegaz/mid-century-chair/mid-century-chair.obj", 0),
    "armchair": ("BlendSwap-CC-BY", "blendswap-cc-by/fotel/fotel.obj", 1),
}


def load(names: Sequence[str], root: Path | None = None) -> list[Target]:
    """Targets by name.

    Args:
        names: of `GENERATED` and `FURNITURE`.
        root: folder with the `.sh3f` archives; None: where the package installs them.

    Raises:
        UserError: no such target, or the archives are not there.
    """
    found = []
    for name in names:
        if name in GENERATED:
            convex, make = GENERATED[name]
            found.append(_target(name, convex, make()))
        elif name in FURNITURE:
            found.append(_target(name, False, _part(root or INSTALLED, *FURNITURE[name])))
        else:
            raise UserError(f"no target '{name}'; there are {', '.join([*GENERATED, *FURNITURE])}")
    return found


def _part(root: Path, archive: str, path: str, index: int) -> trimesh.Trimesh:
    file = root / f"{archive}.sh3f"
    if not file.is_file():
        raise UserError(
            f"{file} is missing: unpack the Debian package sweethome3d-furniture and name its folder (--furniture), or "
            f"fit generated targets only (--targets {' '.join(GENERATED)})"
        )
    with zipfile.ZipFile(file) as opened:
        stream = io.BytesIO(opened.read(path))
    mesh = trimesh.load(stream, file_type="obj", force="mesh", process=False)
    mesh = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    mesh.merge_vertices(merge_tex=True, merge_norm=True)
    mesh.update_faces(mesh.nondegenerate_faces() & mesh.unique_faces())
    return mesh.split(only_watertight=True)[index]


def _target(name: str, convex: bool, mesh: trimesh.Trimesh) -> Target:
    faces = mesh.faces if mesh.volume > 0 else mesh.faces[:, ::-1]
    topology = Topology.of(np.array(faces), len(mesh.vertices)).check(name)
    if (topology.parts, topology.euler) != (1, 2):
        raise UserError(f"{name} must be one part like a sphere, but has {topology.parts} with Euler {topology.euler}")
    at = torch.from_numpy(mesh.vertices - mesh.bounds.mean(0)) / float(max(mesh.extents))
    return Target(name, convex, at.float(), topology)
