"""Every road to a mesh: from points, from depth, from voxels, from a field."""

import math
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree
from torch import Tensor

from lit3d.errors import UserError
from lit3d.ops.depth import unproject, valid_depth
from lit3d.ops.isosurface import Extraction, Field, Triangles, empty, marching_cubes, mise
from lit3d.ops.normals import WIDTHS, disc_points, estimated_normals, neighbourhoods, noise_width, patches, spacing
from lit3d.ops.orientation import outward
from lit3d.ops.poisson import check_memory, indicator, values_at
from lit3d.ops.wrapping import RADIUS, WALL, wrapped

MARGIN = 1.06  # side of the grid over that of the set's box: the indicator is periodic
SPREAD = 16  # points of a disc
STRAY = 1.0  # spacings of the points: vertices farther away than this stray
LEAST = 0.15  # of the level: what doubtful normals leave in empty space lies below
GRAZING = math.radians(15)  # a surface seen at a flatter angle is taken for a depth edge: two surfaces, not one
COARSEST, FINEST, PER_SPACING = 64, 256, 4  # cells a side of a grid, and between neighbouring points
LEVEL = 0.25  # quantile of the indicator at the points: a little outside, so that thin parts are not lost
# A surface explains a set if so many of the points have a vertex within so many spacings, and so many vertices a point.
HELD, TOLD = (0.93, 0.5), (0.7, 0.75)


class PointMesh(NamedTuple):
    """A closed mesh of a set of points, wound outwards, and how it was made; empty where the points enclose nothing."""

    vertices: Float[Tensor, "v 3"]
    faces: Int[Tensor, "f 3"]
    method: Literal["poisson", "closing"]


def points_to_mesh(
    points: Float[Tensor, "n 3"],
    normals: Float[Tensor, "n 3"] | None = None,
    *,
    resolution: int | None = None,
    most_bytes: float = 4e9,
) -> PointMesh:
    """A closed mesh of points of the outside of a thing.

    With normals it is the level set of their Poisson indicator. Without, normals are estimated first, and where that is
    in vain it is the closing of the points (`wrapping`): where points lie on no planes, as those that networks predict,
    and where Poisson's surface passes by the points or strays from them, as where parts are thin.

    Args:
        points: at least 17, any scale and place; repeated ones do no harm.
        normals: outward unit normals; estimated where None.
        resolution: cells a side of the grid around the points; None: four cells between neighbouring points, 64 to 256.
        most_bytes: memory for the grid.

    Raises:
        UserError: too few points, coordinates that are not finite, or a grid that would not fit.
    """
    check_memory(resolution or FINEST, most_bytes)
    placed, middle, scale = _unit(points)
    distance, _ = neighbourhoods(placed)
    apart = spacing(distance)
    cells = resolution or cells_for(apart)
    mesh, radius = None, RADIUS
    if normals is not None:
        mesh = _poisson(placed, normals.detach().cpu().float(), distance, cells)
    elif noise_width(patches(placed), (planes := estimated_normals(placed)).double().numpy()) < WIDTHS[-1]:
        mesh, radius = _poisson(placed, outward(placed, planes), distance, cells), WALL
        mesh = mesh if _explains(mesh, placed, apart, MARGIN / cells) else None
    method: Literal["poisson", "closing"] = "closing" if mesh is None else "poisson"
    vertices, faces = wrapped(placed, apart, resolution or FINEST, radius) if mesh is None else mesh
    return PointMesh((vertices * scale + middle).to(points.dtype), faces, method)


def _poisson(placed: Tensor, normals: Tensor, distance: np.ndarray, resolution: int) -> Triangles:
    """Through points in the unit box, whose neighbours are at these distances (n, k)."""
    reach = torch.from_numpy(distance).float()
    area = math.pi * reach[:, 7] ** 2 / 8  # of the disc that holds eight others, shared
    half = MARGIN / 2
    chi = _chi(placed, normals, area, 0.7 * reach[:, 5], resolution, half)
    level = max(float(values_at(chi, placed, half).quantile(LEVEL)), LEAST)
    mesh = marching_cubes(chi, half=half * (1 - 1 / resolution), level=level)
    # The grid's points begin at -half and end one cell before half.
    return _near(Triangles(mesh.vertices - half / resolution, mesh.faces), placed, STRAY * spacing(distance))


def _explains(mesh: Triangles, points: Tensor, apart: float, cell: float) -> bool:
    """Whether a surface passes by the points, and nowhere else."""
    if not len(mesh.vertices):
        return False
    ours, theirs = mesh.vertices.numpy(), points.numpy()
    for (share, reach), from_, to in ((HELD, theirs, ours), (TOLD, ours, theirs)):
        found, _ = cKDTree(to).query(from_, distance_upper_bound=max(reach * apart, cell))
        if np.isfinite(found).mean() < share:
            return False
    return True


def cells_for(apart: float) -> int:
    """Cells a side for points so far apart, a multiple of 16.

    Points are spread over discs of about that radius, so what is much finer shows nothing but single discs.
    """
    return min(FINEST, max(COARSEST, 16 * round(PER_SPACING * MARGIN / max(apart, 1e-6) / 16)))


def _near(mesh: Triangles, points: Tensor, reach: float) -> Triangles:
    """Without the closed pieces of which most vertices lie far from all points: bubbles of doubtful normals."""
    if not len(mesh.faces):
        return mesh
    count, edges = len(mesh.vertices), mesh.faces[:, [0, 1, 1, 2]].reshape(-1, 2).numpy()
    graph = coo_array((np.ones(len(edges), np.int8), tuple(edges.T)), shape=(count, count))
    pieces, piece = connected_components(graph, directed=False)
    distance, _ = cKDTree(points.numpy()).query(mesh.vertices.numpy(), distance_upper_bound=reach)
    share = np.bincount(piece, np.isfinite(distance), pieces) / np.bincount(piece, minlength=pieces)
    kept = torch.from_numpy(share > 0.5)[torch.from_numpy(piece).long()]
    faces = mesh.faces[kept[mesh.faces[:, 0]]]
    used, faces = faces.unique(return_inverse=True)
    return Triangles(mesh.vertices[used], faces)


def _unit(points: Tensor) -> tuple[Tensor, Tensor, float]:
    """Points in a box around the origin of longest side 1, its centre and its side.

    Raises:
        UserError: no points, not finite, or all in one place.
    """
    places = points.detach().cpu().float()
    if not len(places) or not places.isfinite().all():
        raise UserError(f"a surface through points needs finite ones, got {len(places)} points, some NaN or infinite")
    low, high = places.amin(0), places.amax(0)
    side = float((high - low).max())
    if side <= 0:
        raise UserError("all points lie in one place: there is no surface through them")
    return (places - (low + high) / 2) / side, (low + high) / 2, side


def _chi(placed: Tensor, normals: Tensor, area: Tensor, spread: Tensor, resolution: int, half: float) -> Tensor:
    discs = placed[:, None] + disc_points(normals, spread, SPREAD)
    vectors = (normals * area[:, None] / SPREAD)[:, None].expand(discs.shape)
    return indicator(discs.flatten(0, 1), vectors.flatten(0, 1), resolution, half)


def depth_to_mesh(
    depth: Float[Tensor, "h w"], intrinsics: Float[Tensor, "3 3"], mask: Bool[Tensor, "h w"] | None = None
) -> tuple[Triangles, Int[Tensor, " v"]]:
    """What the camera sees as an open mesh in its axes: pixels are vertices, neighbours are joined, depth edges cut.

    Args:
        depth: camera z; what is not a finite number above 0 is left out.
        intrinsics: pixels, centres at +0.5.
        mask: which pixels are the object; None: all.

    Returns:
        The mesh, its triangles facing the camera, and the pixel of each vertex, counted row by row. Pixels that no
        triangle touches are left out; both are empty where there is no triangle.
    """
    known = valid_depth(depth[None, None], None if mask is None else mask[None, None])[0, 0]
    faces = grid_faces(torch.where(known, depth, torch.nan), float(intrinsics.diagonal()[:2].mean()))
    pixels, faces = faces.unique(return_inverse=True)
    places = unproject(depth[None, None], intrinsics[None])[0].flatten(1).T
    return Triangles(places[pixels], faces), pixels


def grid_faces(depth: Float[Tensor, "h w"], focal: float) -> Int[Tensor, "f 3"]:
    """Triangles between neighbouring pixels, numbered row by row, that face the camera; none across a depth edge.

    Each cell of four pixels is split along the diagonal of the smaller step in depth. A triangle whose depth changes as
    much as that of a surface seen at less than `GRAZING` would is left out.

    Args:
        depth: NaN where there is none.
        focal: focal length in pixels, which says how large a pixel is at a depth.
    """
    h, w = depth.shape
    number = torch.arange(h * w, device=depth.device).reshape(h, w)
    a, b, c, d = number[:-1, :-1], number[1:, :-1], number[:-1, 1:], number[1:, 1:]
    value = depth.flatten()
    first = (value[b] - value[c]).abs().nan_to_num(torch.inf) <= (value[a] - value[d]).abs().nan_to_num(torch.inf)
    split = torch.where(first[..., None, None], _triangles((a, b, c), (c, b, d)), _triangles((a, b, d), (a, d, c)))
    faces = split.reshape(-1, 3)
    corners = value[faces]
    step = corners.amax(1) - corners.amin(1)
    return faces[step < corners.mean(1) / (focal * math.tan(GRAZING))]  # a comparison with NaN is false


def _triangles(*corners: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    return torch.stack([torch.stack(c, dim=-1) for c in corners], dim=-2)


def field_to_mesh(field: Field, batch: int, resolution: int = 64, **options: object) -> Extraction:
    """MISE with the published start of 32 cells (fewer for a smaller resolution): 32, 64 or 128 cells a side.

    Raises:
        UserError: the resolution is no power of two times at most 32; and as `mise`.
    """
    coarse = resolution
    levels = 0
    while coarse > 32:
        if coarse % 2:
            raise UserError(f"a resolution must be 32 or less, or that times a power of two, got {resolution}")
        coarse, levels = coarse // 2, levels + 1
    return mise(field, batch, coarse=coarse, levels=levels, **options)  # type: ignore[arg-type]


def voxels_to_mesh(
    values: Float[Tensor, "n n n"], *, half: float = 0.5, level: float = 0.5, blocks: bool = False
) -> Triangles:
    """A closed mesh around the voxels above a level, x first; voxel i covers [-half + i s, -half + (i + 1) s].

    Args:
        values: occupancy or probabilities at the voxels' centres.
        half: half the side of the cube that the voxels fill.
        level: what counts as occupied.
        blocks: the exposed sides of the voxels, in place of the smooth surface between centres (marching cubes).

    Raises:
        UserError: values that are not finite.
    """
    count = values.shape[0]
    if not values.isfinite().all():
        raise UserError("voxels have values that are NaN or infinite: a surface needs finite ones")
    if blocks:
        return _blocks(values.detach().cpu() > level, half)
    # A layer of nothing around: the surface ends half a voxel before or behind the border, as everywhere else.
    low = min(float(values.min()), 2 * level - float(values.max()))
    padded = torch.nn.functional.pad(values.detach().cpu().float(), (1,) * 6, value=low)
    if not (padded > level).any():
        return empty()
    # Voxels of 0 and 1 leave open which diagonal of a square hangs together, and its two cells must not decide it
    # differently: a hair of noise, the same in each call, settles all ties.
    hair = 1e-4 * float(padded.max() - padded.min())
    padded += hair * torch.rand(padded.shape, generator=torch.Generator().manual_seed(count))
    return marching_cubes(padded, half=half * (count + 1) / count, level=level + hair)


def _blocks(occupied: Bool[Tensor, "n n n"], half: float) -> Triangles:
    """Two triangles for each side of an occupied voxel that has no occupied neighbour.

    Voxels that share an edge or a corner but no side keep vertices of their own there, else four faces would meet in an
    edge: which voxels around a corner hang together is read off a table of the 256 cases. Only where two such voxels
    hang together around both ends of their edge do four faces still share it.
    """
    n = occupied.shape[0]
    full = torch.nn.functional.pad(occupied, (1,) * 6)
    code = torch.zeros((n + 1,) * 3, dtype=torch.long)
    for bit, (i, j, k) in enumerate(_AROUND):
        code |= full[i : i + n + 1, j : j + n + 1, k : k + n + 1].long() << bit
    corners, voxels = [], []
    for axis in range(3):
        for side in (0, 1):
            open_ = occupied & ~full.roll(1 - 2 * side, axis)[1:-1, 1:-1, 1:-1]
            at = open_.nonzero()
            corners.append(at[:, None] + torch.tensor(_SIDES[axis][side]))
            voxels.append(at)
    quad, owner = torch.cat(corners), torch.cat(voxels)
    if not len(quad):
        return empty()
    local = owner[:, None] - quad + 1  # which of the eight around the corner the voxel is
    x, y, z = quad.unbind(-1)
    part = torch.tensor(_parts())[code[x, y, z], (local * torch.tensor([4, 2, 1])).sum(-1)]
    key = (((x * (n + 1)) + y) * (n + 1) + z) * 8 + part
    unique, face = key.unique(return_inverse=True)
    place = torch.stack([unique // 8 // (n + 1) ** 2, unique // 8 // (n + 1) % (n + 1), unique // 8 % (n + 1)], -1)
    return Triangles((place / n * 2 - 1) * half, torch.cat([face[:, [0, 1, 2]], face[:, [0, 2, 3]]]))


_AROUND = [(x, y, z) for x in (0, 1) for y in (0, 1) for z in (0, 1)]


def _side(axis: int, side: int) -> list[tuple[int, ...]]:
    """Corners of a voxel's side, counter-clockwise seen from outside."""
    ring = [(0, 0), (1, 0), (1, 1), (0, 1)][:: 1 if side else -1]
    found = []
    for u, v in ring:
        corner = [0, 0, 0]
        corner[axis], corner[(axis + 1) % 3], corner[(axis + 2) % 3] = side, u, v
        found.append(tuple(corner))
    return found


_SIDES = [[_side(axis, side) for side in (0, 1)] for axis in range(3)]


def _parts() -> list[list[int]]:
    """For each of the 256 cases around a corner: the least voxel that each of the eight hangs together with."""
    table = []
    for code in range(256):
        part = list(range(8))
        for _ in range(8):
            for i in range(8):
                for bit in (4, 2, 1):
                    if code >> i & 1 and code >> (i ^ bit) & 1:
                        part[i] = part[i ^ bit] = min(part[i], part[i ^ bit])
        table.append(part)
    return table
