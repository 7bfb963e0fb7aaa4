"""From a field to its level surface: multiresolution extraction (MISE), then marching cubes.

A coarse grid is evaluated everywhere. A cell whose known corners lie on both sides of the level is refined; so is every
cell that a refined neighbour shows to be crossed, until none is left. What is never asked is interpolated from the
corners of its cell, which all lie on one side. Source: Mescheder et al., Occupancy Networks (CVPR 2019), Sec. 3.3; the
search through neighbours is ours: without it a surface that leaves a refined cell through a face is cut off there.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from lit3d.errors import UserError

Field = Callable[[Tensor], Tensor]  # points (b, q, 3) -> values (b, q), larger inside
OUTSIDE = -1e6  # beyond the grid, so that a surface that reaches its border is closed there
BYTES = 24  # a grid point and shape: values, what is known, and the pooled copies of both
MOST_BYTES = 4e9  # for the grids of one extraction


class Triangles(NamedTuple):
    """One triangle mesh, wound outwards; both empty where there is no surface."""

    vertices: Float[Tensor, "v 3"]
    faces: Int[Tensor, "f 3"]


class Extraction(NamedTuple):
    """What `mise` found.

    Attributes:
        meshes: one a shape.
        queries: (b,) how often the field was asked; a dense grid asks values[0].numel() times.
        values: (b, n, n, n) field at the grid points, x first; interpolated where it was not asked.
        finite: (b,) false where a value was NaN or infinite: then the mesh is empty.
    """

    meshes: list[Triangles]
    queries: Int[Tensor, " b"]
    values: Float[Tensor, "b n n n"]
    finite: Bool[Tensor, " b"]


def mise(
    field: Field,
    batch: int,
    *,
    half: float = 0.55,
    coarse: int = 32,
    levels: int = 2,
    level: float = 0.0,
    seeds: Float[Tensor, "b s 3"] | None = None,
    refine: int = 0,
    strict: bool = True,
    chunk: int = 100_000,
    most_bytes: float = MOST_BYTES,
    device: torch.device | str = "cpu",
) -> Extraction:
    """The surfaces field = level of a batch of shapes in the cube [-half, half]^3.

    The result is that of the dense grid of coarse * 2**levels cells a side where each region above the level and each
    region below it holds a point of the coarse grid. Thinner things are found by `seeds` in them or a finer `coarse`.

    Args:
        field: points (b, q, 3) -> values (b, q), above the level inside; it is called without gradients.
        batch: b, the number of shapes.
        half: half the side of the cube.
        coarse: cells a side of the first grid; levels=0 makes it the dense grid.
        levels: how often cells are halved.
        level: the value on the surface.
        seeds: places near the surface whose cells are refined in any case.
        refine: Newton steps that move the vertices along the field's gradient.
        strict: whether values that are not finite are an error, or an empty mesh and `finite` false.
        chunk: points of a shape in one call.
        most_bytes: memory for the grids.
        device: of the points.

    Raises:
        UserError: the grid would not fit, sizes out of range, or (strict) values that are not finite.
    """
    check_size(batch, coarse, levels, most_bytes)
    grid = _Grid(field, batch, half, level, chunk, torch.device(device))
    with torch.no_grad():
        grid.start(coarse)
        for _ in range(levels):
            grid.halve(seeds)
    if strict and not grid.finite.all():
        broken = (~grid.finite).nonzero().flatten().tolist()
        raise UserError(
            f"the field of shapes {broken} of the batch has values that are NaN or infinite, a surface needs finite "
            "ones: the network that gives them has diverged, so train it with a lower rate"
        )
    # `tolist` first: a device is asked once
    meshes = [
        marching_cubes(values, half=half, level=level) if finite else empty()
        for values, finite in zip(grid.values.cpu(), grid.finite.tolist(), strict=True)
    ]
    if refine:
        meshes = refined(field, meshes, level=level, reach=half / (coarse * 2**levels), steps=refine, device=device)
    return Extraction(meshes, grid.queries, grid.values, grid.finite)


class _Grid:
    """Values at the points of a grid that gets finer, and which of them were asked for."""

    def __init__(self, field: Field, batch: int, half: float, level: float, chunk: int, device: torch.device) -> None:
        self.field, self.half, self.level, self.chunk, self.device = field, half, level, chunk, device
        self.queries = torch.zeros(batch, dtype=torch.long)
        self.finite = torch.ones(batch, dtype=torch.bool)
        self.values = self.known = torch.empty(0)

    def start(self, cells: int) -> None:
        """Ask at all points of the first grid."""
        shape = (len(self.queries), *(cells + 1,) * 3)
        self.values = torch.zeros(shape, device=self.device)
        self.known = torch.zeros(shape, dtype=torch.bool, device=self.device)
        self._ask(torch.ones_like(self.known))

    def halve(self, seeds: Tensor | None) -> None:
        """Cells of half the size: ask where a cell is crossed, until no crossed cell has a point that was not asked."""
        coarse, size = self.known, 2 * self.values.shape[-1] - 1
        self.values = functional.interpolate(
            self.values[:, None], size=(size, size, size), mode="trilinear", align_corners=True
        )[:, 0]
        self.known = torch.zeros(self.values.shape, dtype=torch.bool, device=self.device)
        self.known[:, ::2, ::2, ::2] = coarse
        cells = self._crossed() if seeds is None else self._crossed() | self._around(seeds, size // 2)
        while True:
            wanted = _corners(cells) & ~self.known
            if not wanted.any():
                return
            self._ask(wanted)
            cells = self._crossed()

    def _crossed(self) -> Tensor:
        """(b, m, m, m) whether a cell of the coarser grid has points on both sides, its own 27 of the finer one."""
        above = (self.values > self.level).to(torch.float32)[:, None]
        most, least = (functional.max_pool3d(sign * above, 3, 2)[:, 0] for sign in (1, -1))
        return most != -least

    def _around(self, seeds: Tensor, cells: int) -> Tensor:
        """(b, m, m, m) whether a cell holds a seed."""
        found = torch.zeros(len(seeds), cells, cells, cells, dtype=torch.bool, device=self.device)
        at = ((seeds.to(self.device) / (2 * self.half) + 0.5) * cells).floor().long()
        inside = ((at >= 0) & (at < cells)).all(-1)
        shape = torch.arange(len(seeds), device=self.device)[:, None].expand(inside.shape)
        x, y, z = at[inside].unbind(-1)
        found[shape[inside], x, y, z] = True
        return found

    def _ask(self, wanted: Tensor) -> None:
        """Field values where wanted (b, n, n, n); shapes that want fewer points ask for a corner again, uncounted."""
        shape, index = wanted.flatten(1).nonzero(as_tuple=True)
        counts = torch.bincount(shape, minlength=len(self.queries))
        self.queries += counts.cpu()
        rank = torch.arange(len(index), device=self.device) - (counts.cumsum(0) - counts)[shape]
        flat = torch.zeros(len(counts), int(counts.max()), dtype=torch.long, device=self.device)
        flat[shape, rank] = index
        parts = [self.field(part).to(self.values.dtype) for part in self._places(flat).split(self.chunk, dim=1)]
        found = torch.cat(parts, dim=1)[shape, rank]
        broken = ~found.isfinite()
        self.finite[shape[broken].cpu()] = False
        found = torch.where(broken, self.level - 1, found)  # a broken shape must not keep others searching
        self.values.view(len(counts), -1)[shape, index] = found
        self.known |= wanted

    def _places(self, index: Tensor) -> Tensor:
        """Coordinates (b, q, 3) of grid points by their flat index (b, q)."""
        n = self.values.shape[-1]
        at = torch.stack([index // (n * n), index // n % n, index % n], dim=-1)
        return (at.to(torch.float32) / (n - 1) * 2 - 1) * self.half


def _corners(cells: Tensor) -> Tensor:
    """(b, 2m + 1, ...) the 27 points of the finer grid that belong to chosen cells (b, m, m, m)."""
    b, m = cells.shape[:2]
    middle = torch.zeros(b, 1, *(2 * m + 1,) * 3, device=cells.device)
    middle[:, 0, 1::2, 1::2, 1::2] = cells.to(middle.dtype)
    return functional.max_pool3d(middle, 3, 1, 1)[:, 0] > 0


def shapes_at_once(cells: int, most_bytes: float = MOST_BYTES) -> int:
    """How many grids of so many cells a side fit."""
    return int(most_bytes / (BYTES * (cells + 1) ** 3))


def check_size(batch: int, coarse: int, levels: int = 0, most_bytes: float = MOST_BYTES) -> None:
    """Refuse grids of coarse * 2**levels cells a side that would not fit, or cannot be.

    Raises:
        UserError: naming what they take, the limit, and what fits.
    """
    if batch < 1 or coarse < 1 or levels < 0:
        raise UserError(f"expected at least one shape, one cell and levels >= 0, got {batch}, {coarse} and {levels}")
    cells = coarse * 2**levels
    bytes_ = BYTES * batch * (cells + 1) ** 3
    if bytes_ > most_bytes:
        fits = int((most_bytes / BYTES / batch) ** (1 / 3)) - 1
        many, fewer = ("s", ", fewer shapes at once,") if batch > 1 else ("", "")
        raise UserError(
            f"a grid of {cells} cells a side for {batch} shape{many} takes {bytes_ / 1e9:.1f} GB and the limit is "
            f"{most_bytes / 1e9:.1f} GB: take at most {max(fits, 1)} cells{fewer} or a larger limit"
        )


def empty() -> Triangles:
    """No surface."""
    return Triangles(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.long))


def marching_cubes(values: Float[Tensor, "n m k"], *, half: float = 0.55, level: float = 0.0) -> Triangles:
    """The closed level surface of a grid, x first; empty where all values lie on one side.

    The grid begins at -half along each axis and ends at half along the first; its cells are cubes. A surface that
    reaches the border of the grid is closed there. Source: Lewiner et al. (2003), by scikit-image.

    Raises:
        UserError: values that are not finite.
    """
    from skimage.measure import marching_cubes as lewiner

    grid = values.detach().cpu().numpy().astype(np.float32)
    if not np.isfinite(grid).all():
        raise UserError("a grid has values that are NaN or infinite: a surface needs finite ones")
    above = grid > level
    if not above.any() or above.all():
        return empty()
    # A value of exactly the level gives triangles without area: such a point counts as outside, by a hair.
    hair = np.float32(1e-6) * max(float(np.abs(grid - level).max()), 1e-20)
    near = np.abs(grid - level) < hair
    grid = np.where(near, np.where(above, level + hair, level - hair), grid).astype(np.float32)
    padded = np.pad(grid, 1, constant_values=np.float32(min(OUTSIDE, level + OUTSIDE * float(np.abs(grid).max()))))
    vertices, faces, _, _ = lewiner(padded, level, gradient_direction="ascent")
    at = np.clip(vertices - 1, 0, np.array(grid.shape) - 1)  # the cap lies on the border
    places = (at / (grid.shape[0] - 1) * 2 - 1) * half
    return Triangles(torch.from_numpy(places.astype(np.float32)), torch.from_numpy(faces.astype(np.int64)))


def refined(
    field: Field,
    meshes: list[Triangles],
    *,
    level: float = 0.0,
    reach: float = 0.01,
    steps: int = 2,
    device: torch.device | str = "cpu",
) -> list[Triangles]:
    """Vertices moved onto the level by Newton's method along the gradient, each step at most `reach` long.

    v <- v - (f(v) - level) grad f / |grad f|^2; a vertex stays where it was unless its value comes closer to the level.
    """
    count = max((len(mesh.vertices) for mesh in meshes), default=0)
    if count == 0:
        return meshes
    padded = torch.stack([functional.pad(m.vertices, (0, 0, 0, count - len(m.vertices))) for m in meshes]).to(device)
    best, error = padded, torch.full(padded.shape[:2], torch.inf, device=padded.device)
    place = padded
    for step in range(steps + 1):
        with torch.enable_grad():
            at = place.detach().requires_grad_()
            off = field(at) - level
            (slope,) = torch.autograd.grad(off.sum(), at)
        off = off.detach()
        closer = off.abs() < error
        best, error = torch.where(closer[..., None], place, best), torch.where(closer, off.abs(), error)
        if step < steps:
            move = off[..., None] * slope / slope.square().sum(-1, keepdim=True).clamp_min(1e-20)
            length = move.norm(dim=-1, keepdim=True).clamp_min(1e-20)
            place = (place - move * (reach / length).clamp_max(1)).detach()
    best = best.cpu()
    return [Triangles(best[i, : len(m.vertices)], m.faces) for i, m in enumerate(meshes)]


def miss_rate(found: Extraction, dense: Extraction, level: float = 0.0) -> Float[Tensor, " b"]:
    """The share of the crossed cells of the dense grid that MISE did not find; 0 where nothing is crossed.

    Raises:
        UserError: the grids differ.
    """
    if found.values.shape != dense.values.shape:
        got = f"{tuple(found.values.shape)} and {tuple(dense.values.shape)}"
        raise UserError(f"a miss rate compares grids of one size, got {got}")
    ours, theirs = (_crossed_cells(one.values > level) for one in (found, dense))
    return (theirs & ~ours).flatten(1).sum(1) / theirs.flatten(1).sum(1).clamp_min(1)


def _crossed_cells(above: Tensor) -> Tensor:
    signs = above.to(torch.float32)[:, None]
    most, least = (functional.max_pool3d(sign * signs, 2, 1)[:, 0] for sign in (1, -1))
    return most != -least
