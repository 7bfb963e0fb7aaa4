"""Nearest neighbours on a CUDA device: brute force in registers, fused with the minimum, no n x m matrix."""

import os
import shutil
from importlib.util import find_spec
from typing import NamedTuple

import torch
from torch import Tensor

# Triton launches through a little C that it compiles itself. Without the two the dispatcher takes plain torch.
AVAILABLE = find_spec("triton") is not None and any(
    shutil.which(compiler) for compiler in (os.environ.get("CC", "gcc"), "gcc", "clang")
)

TARGETS = 16  # targets a tile: coordinates of all of them stay in registers while the queries of a lane pass
MOST_QUERIES = 512  # queries a program of 128 lanes: 4 a lane share the loads of a tile, at 95 registers
PROGRAMS = 12  # wanted on each processor: 5 run at a time, the others fill the gaps at the end
SHORTEST = 128  # targets a program at least: its start-up costs about as much as 20


class Plan(NamedTuple):
    """How the work is cut: queries a program, targets a program, and how many programs share a query."""

    queries: int
    chunk: int
    chunks: int


def parts(total: int, size: int) -> int:
    """How many parts of a size cover the total."""
    return -(-total // size)


def plan(b: int, n: int, m: int, processors: int) -> Plan:
    """Few large blocks of queries, and as many cuts through the targets as fill the device's processors.

    1 x 100000 against 100000 would occupy 196 programs without cuts, 4 x 10000 against 10000 only 80.
    """
    queries = min(MOST_QUERIES, max(128, 1 << (n - 1).bit_length()))
    wanted = min(parts(PROGRAMS * processors, b * parts(n, queries)), parts(m, SHORTEST))
    chunk = parts(parts(m, wanted), TARGETS) * TARGETS
    return Plan(queries, chunk, parts(m, chunk))


def nearest(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """For each of x (b n d) the squared distance (b n) to, and the index (b n) int64 of, its nearest of y (b m d).

    d is 2 or 3, both on one CUDA device. Computed in float64 for float64, else in float32, returned in x's type.
    Differences are squared and summed as by the CPU kernel; ties go to the smallest index. No gradient, no checks,
    no host synchronisation.

    Memory: 8 bytes a query and chunk of targets; chunks are cut only until 12 programs a processor have work, so this
    stays below 8 (b n + 512 * 12 * processors) bytes where n fills its blocks.
    """
    from lit3d.ops.kernels.nearest_triton import nearest_of_tile, nearest_tiles

    b, n, d = x.shape
    m = y.shape[1]
    real = torch.float64 if x.dtype == torch.float64 else torch.float32
    a, c = x.detach().to(real).contiguous(), y.detach().to(real).contiguous()
    squared, index = torch.empty(b, n, dtype=real, device=x.device), x.new_empty(b, n, dtype=torch.int64)
    if b * n == 0:
        return squared.to(x.dtype), index
    cut = plan(b, n, m, _processors(x.device))
    least = torch.empty(cut.chunks, b, n, dtype=real, device=x.device)
    where = torch.empty(cut.chunks, b, n, dtype=torch.int32, device=x.device)
    with torch.cuda.device_of(x):
        nearest_tiles[(b * parts(n, cut.queries), cut.chunks)](
            a, c, least, where, n, m, cut.chunk, D=d, QUERIES=cut.queries, TARGETS=TARGETS, num_warps=4
        )
        nearest_of_tile[(parts(b * n, 128),)](
            a, c, least, where, squared, index, b * n, n, m, cut.chunks, D=d, QUERIES=128, TARGETS=TARGETS, num_warps=4
        )
    return squared.to(x.dtype), index


def _processors(device: torch.device) -> int:
    return torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else 1
