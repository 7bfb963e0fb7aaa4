"""The triton kernels behind `nearest_cuda`: imported when they are first called, because triton is not everywhere."""

import triton
import triton.language as tl


@triton.jit
def squared_distance(qx, qy, qz, px, py, pz):
    """The one order of roundings, so that what is computed twice is the same number; a CPU with FMA rounds alike."""
    dx, dy, dz = qx - px, qy - py, qz - pz
    return tl.fma(dz, dz, tl.fma(dx, dx, dy * dy))


@triton.jit
def load_points(points, at, mask, other: tl.constexpr, D: tl.constexpr):
    """Coordinates of points (*, D) at some rows; the plane's third one is 0, and so vanishes from the distance."""
    px = tl.load(points + at * D, mask=mask, other=other)
    py = tl.load(points + at * D + 1, mask=mask, other=other)
    if D == 3:
        return px, py, tl.load(points + at * D + 2, mask=mask, other=other)
    return px, py, tl.zeros_like(px)


@triton.jit
def tile_minimum(qx, qy, qz, y, start, last, MASKED: tl.constexpr, D: tl.constexpr, TARGETS: tl.constexpr):
    """Least squared distance (QUERIES,) to the targets start .. start + TARGETS; beyond `last` lies nothing."""
    t = start + tl.arange(0, TARGETS)
    if MASKED:
        px, py, pz = load_points(y, t, t < last, float("inf"), D)
    else:
        px, py, pz = load_points(y, t, None, None, D)
    # Queries lie along the last axis, so each lane owns whole columns: the minimum needs no exchange between lanes.
    return tl.min(squared_distance(qx[None], qy[None], qz[None], px[:, None], py[:, None], pz[:, None]), axis=0)


@triton.jit(do_not_specialize=["n", "m", "chunk"])  # one compilation serves all sizes
def nearest_tiles(x, y, least, where, n, m, chunk, D: tl.constexpr, QUERIES: tl.constexpr, TARGETS: tl.constexpr):
    """The nearest tile of TARGETS points of each query, among the `chunk` targets that this program looks at.

    Programs: blocks of queries of all samples, then chunks of targets. x (b n D), y (b m D). Writes for each chunk s
    least[s] (b n), the squared distance, and where[s] (b n) int32, the first index of the first tile that has it.
    Keeping the tile instead of the index saves two of nine operations a pair; `nearest_of_tile` looks it up.
    """
    blocks = tl.cdiv(n, QUERIES)
    sample = (tl.program_id(0) // blocks).to(tl.int64)
    q = tl.program_id(0) % blocks * QUERIES + tl.arange(0, QUERIES)
    qx, qy, qz = load_points(x + sample * n * D, q, q < n, 0.0, D)
    y += sample * m * D
    first = tl.program_id(1) * chunk
    last = tl.minimum(first + chunk, m)
    whole = first + (last - first) // TARGETS * TARGETS
    best = tl.full([QUERIES], float("inf"), x.dtype.element_ty)
    tile = tl.zeros([QUERIES], tl.int32) + first
    for start in range(first, whole, TARGETS):
        here = tile_minimum(qx, qy, qz, y, start, last, False, D, TARGETS)
        tile = tl.where(here < best, start, tile)
        best = tl.minimum(here, best)
    if whole < last:
        here = tile_minimum(qx, qy, qz, y, whole, last, True, D, TARGETS)
        tile = tl.where(here < best, whole, tile)
        best = tl.minimum(here, best)
    out = tl.program_id(1).to(tl.int64) * (tl.num_programs(0) // blocks) * n + sample * n + q
    tl.store(least + out, best, mask=q < n)
    tl.store(where + out, tile, mask=q < n)


@triton.jit(do_not_specialize=["total", "n", "m", "chunks"])
def nearest_of_tile(
    x, y, least, where, squared, index, total, n, m, chunks,
    D: tl.constexpr, QUERIES: tl.constexpr, TARGETS: tl.constexpr,
):  # fmt: skip
    """Squared distance and index of the nearest target, from the least of all chunks and a second look at its tile.

    Programs: blocks of all b * n queries (`total`). Writes squared (b n) and index (b n) int64.
    """
    q = tl.program_id(0).to(tl.int64) * QUERIES + tl.arange(0, QUERIES)
    inside = q < total
    best = tl.load(least + q, mask=inside, other=0.0)
    tile = tl.load(where + q, mask=inside, other=0)
    for s in range(1, chunks):
        here = tl.load(least + s * total + q, mask=inside, other=float("inf"))
        tile = tl.where(here < best, tl.load(where + s * total + q, mask=inside, other=0), tile)
        best = tl.minimum(here, best)
    qx, qy, qz = load_points(x, q, inside, 0.0, D)
    t = tile[:, None] + tl.arange(0, TARGETS)[None]
    px, py, pz = load_points(y + (q // n * m * D)[:, None], t, inside[:, None] & (t < m), float("inf"), D)
    distance = squared_distance(qx[:, None], qy[:, None], qz[:, None], px, py, pz)
    found, which = tl.min(distance, axis=1, return_indices=True)
    tl.store(squared + q, found, mask=inside)
    tl.store(index + q, (tile + which).to(tl.int64), mask=inside)
