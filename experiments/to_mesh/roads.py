"""Perfect input of every representation, made from one shape of the grammar, and its road to a mesh."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
import trimesh
from torch import Tensor, nn

from experiments.to_mesh.scoring import Truth
from lit3d.ops.isosurface import Triangles
from lit3d.ops.meshing import points_to_mesh
from lit3d.ops.neighbours import nearest
from lit3d.structures import DepthMap, OccupancyField, PointSet, Structure, VoxelGrid
from lit3d.synthesis.cameras import Camera, ViewRange, look_at_origin
from lit3d.synthesis.occupancy import inside_function
from lit3d.synthesis.pipeline import Prepared
from lit3d.synthesis.queries import uniform_queries
from lit3d.synthesis.render import render
from lit3d.synthesis.surface import outer_surface

HALF = 0.55  # of the cube, as networks in the object's frame have it
SHARE = 0.35  # of a voxel that makes it occupied: at a half, thin parts are lost
VIEW = (30.0, 27.0)  # azimuth and elevation of the camera
QUERIES = 50_000


@dataclass(frozen=True)
class Road:
    """One way to a mesh: its name, what it begins with, and how it goes on."""

    name: str
    given: Structure
    convert: Callable[[], trimesh.Trimesh]


class Known(nn.Module):
    """A decoder that is right: the signed distance, positive inside, or with `binary` 1 inside and -1 outside."""

    def __init__(self, inside: Callable[[np.ndarray], np.ndarray], surface: Tensor, binary: bool) -> None:
        super().__init__()
        self.inside, self.surface, self.binary = inside, surface, binary
        self.weight = nn.Parameter(torch.zeros(1))  # says on which device a decoder is

    def forward(self, places: Tensor, code: Tensor) -> Tensor:
        """(b, q, 3) -> (b, q) for a batch of one."""
        asked = np.ascontiguousarray(places[0].numpy())
        sign = torch.from_numpy(np.where(self.inside(asked) > 0.5, 1.0, -1.0)).float()[None]
        return sign if self.binary else sign * nearest(places, self.surface)[0].sqrt()


@dataclass(frozen=True)
class Shape:
    """A shape with all that its roads begin with.

    Attributes:
        ready: normalised mesh.
        truth: what scores compare with.
        other: (1, m, 3) further points and normals: what truth scores against truth.
        given: (1, n, 3) points and normals that point sets are taken from.
        inside: places (q, 3) -> above 1/2 inside.
        camera: of the depth maps, for pictures of 64 pixels.
    """

    ready: Prepared
    truth: Truth
    other: tuple[Tensor, Tensor]
    given: tuple[Tensor, Tensor]
    inside: Callable[[np.ndarray], np.ndarray]
    camera: Camera


def shape_of(ready: Prepared, samples: int, most: int = 10_000) -> Shape:
    """All points of a normalised shape, drawn once: `samples` of the truth, as many others, `most` for roads."""
    drawn = outer_surface(ready.mesh, most + 2 * samples, np.random.default_rng(0))
    parts = [(torch.from_numpy(drawn.points[at])[None], torch.from_numpy(drawn.normals[at])[None])
             for at in (slice(most), slice(most, most + samples), slice(most + samples, None))]  # fmt: skip
    inside = inside_function(ready.shape)[1]
    queries = uniform_queries(0, QUERIES, np.zeros(3))
    occupancy = torch.from_numpy(inside(queries) > 0.5).float()[None]
    truth = Truth(*parts[1], torch.from_numpy(queries)[None], occupancy)
    views = ViewRange()
    distance = views.max_distance * 0.8 * float(np.linalg.norm(ready.extents))
    camera = look_at_origin(*VIEW, distance, focal=views.focal_ratio * 64, size=(64, 64))
    return Shape(ready, truth, parts[2], parts[0], inside, camera)


def roads(shape: Shape) -> Iterator[Road]:
    """All of them, one after the other: what a road begins with is made when its turn comes."""
    for count in (1024, 10_000):
        points, normals = (x[:, :count] for x in shape.given)
        given = PointSet(points)
        yield Road(f"{count:,} points", given, lambda g=given: g.to_mesh(0)[0])
        yield Road(f"{count:,} points, normals", given,
                   lambda p=points, n=normals: as_trimesh(points_to_mesh(p[0], n[0])))  # fmt: skip
    for pixels in (64, 256):
        depth = depth_map(shape, pixels)
        yield Road(f"depth {pixels} px", depth, lambda g=depth: g.to_mesh(0)[0])
    for count, finer in ((32, 4), (64, 2)):
        grid = voxels(shape, count, finer)
        yield Road(f"voxels {count}", grid, lambda g=grid: g.to_mesh(0)[0])
        yield Road(f"voxels {count}, blocks", grid, lambda g=grid: g.to_mesh(0, blocks=True)[0])
    surface = shape.other[0]
    for kind, cells in (("inside or outside", 64), ("distance", 32), ("distance", 64), ("distance", 128)):
        decoder = Known(shape.inside, surface, kind != "distance").eval()
        field = OccupancyField(torch.zeros(1), HALF, (torch.zeros(1, 1),), decoder, resolution=cells)
        yield Road(f"{kind} {cells}", field, lambda g=field: g.to_mesh(0)[0])


def as_trimesh(mesh: Triangles) -> trimesh.Trimesh:
    """For scores and pictures."""
    return trimesh.Trimesh(mesh.vertices.double().numpy(), mesh.faces.numpy(), process=False)


def voxels(shape: Shape, count: int, finer: int) -> VoxelGrid:
    """The share of each voxel that is inside, by `finer` places along each side."""
    line = ((np.arange(count * finer) + 0.5) / (count * finer) * 2 - 1) * HALF
    plane = np.stack(np.meshgrid(line, line, indexing="ij"), -1).reshape(-1, 2)
    slabs = []
    for start in range(0, len(line), finer):
        at = np.concatenate([np.insert(plane, 0, x, axis=1) for x in line[start : start + finer]]).astype(np.float32)
        found = (shape.inside(at) > 0.5).reshape(finer, count, finer, count, finer)
        slabs.append(found.mean((0, 2, 4)))
    return VoxelGrid(torch.full((1,), SHARE), HALF, torch.from_numpy(np.stack(slabs)).float()[None])


def depth_map(shape: Shape, pixels: int) -> DepthMap:
    """What the camera sees, exact at the pixels' centres."""
    intrinsics = shape.camera.intrinsics.copy()
    intrinsics[:2] *= pixels / 64
    camera = Camera(intrinsics, shape.camera.object_to_camera, (pixels, pixels))
    view = render(shape.ready.mesh, camera, samples=1)
    lens, pose = (torch.from_numpy(x).float()[None] for x in (intrinsics, camera.object_to_camera))
    return DepthMap(torch.from_numpy(view.depth)[None, None].float(), torch.from_numpy(view.mask)[None, None],
                    intrinsics=lens, pose=pose)  # fmt: skip
