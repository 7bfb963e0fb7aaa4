"""Claim: on a GPU, nearest neighbours run near the device's own limit, and the auction's matchings cost milliseconds.

    python -m experiments.speed.gpu
    python -m experiments.speed.gpu --sizes 32x2048 1x100000 --matchings 32x1024

Nearest: milliseconds of `nearest_cuda.nearest` (both launches), of torch.cdist with min, and of PyTorch3D's knn_points
if it is installed, in turns, each the median of CUDA events; how many times faster ours is; and the share of the fp32
limit. A pair of points costs 7 operations in 7 instructions: 3 differences, 1 product, 2 fused multiply-adds and 1
minimum. The limit is what this device reaches in a loop of independent fused multiply-adds, one instruction each.
Matchings: wall time of the auction, its certified gap, and wall time of the exact matching on this machine's CPU.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor

from lit3d import ops
from lit3d.ops.kernels import auction_cuda, nearest_cuda

OPERATIONS = 7  # a pair
MOST_CDIST = 2**31  # entries of a matrix that are worth the memory


def milliseconds(runs: list[Callable[[], object]], repeats: int = 15) -> list[float]:
    """Median of each, in turns, after three runs to warm up."""
    times: list[list[float]] = [[] for _ in runs]
    for repeat in range(repeats + 3):
        for run, taken in zip(runs, times, strict=True):
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            run()
            end.record()
            end.synchronize()
            if repeat >= 3:
                taken.append(start.elapsed_time(end))
    return [statistics.median(taken) for taken in times]


def multiply_adds_a_second() -> float:
    """Fused multiply-adds that the device does in a second: the measured limit of fp32 instructions."""
    from experiments.speed.gpu_limit import CHAINS, multiply_add

    lanes, loops = 2**21, 2048
    out = torch.empty(lanes, device="cuda")
    (least,) = milliseconds([lambda: multiply_add[(lanes // 256,)](out, 0.5, loops, BLOCK=256, num_warps=8)])
    return lanes * loops * CHAINS / (least * 1e-3)


def pytorch3d_nearest() -> Callable[[Tensor, Tensor], object] | None:
    try:
        from pytorch3d.ops import knn_points
    except ImportError:
        return None
    return lambda x, y: knn_points(x, y, K=1)


def compare_nearest(b: int, n: int, limit: float) -> str:
    x, y = torch.rand(b, n, 3, device="cuda"), torch.rand(b, n, 3, device="cuda")
    rivals = [(lambda: torch.cdist(x, y).min(2)) if b * n * n <= MOST_CDIST else None]
    knn = pytorch3d_nearest()
    rivals.append((lambda: knn(x, y)) if knn else None)
    ours, *others = milliseconds([lambda: nearest_cuda.nearest(x, y), *[r for r in rivals if r]])
    rate = b * n * n * OPERATIONS / (ours * 1e-3)
    cells = [f"{others.pop(0) / ours:10.1f}" if r else f"{'-':>10s}" for r in rivals]
    return f"{b:4d} x {n:<7d} {ours:9.3f} {rate / 1e12:12.2f} {100 * rate / limit:9.0f} % {''.join(cells)}"


def compare_matching(b: int, n: int) -> str:
    target = torch.nn.functional.normalize(torch.randn(b, n, 3), dim=2) / 2
    drawn = torch.nn.functional.normalize(torch.randn(b, n, 3), dim=2) / 2 + 0.02 * torch.randn(b, n, 3)
    x, y = drawn.cuda(), target.cuda()
    (ours,) = milliseconds([lambda: auction_cuda.match(x, y)], 5)
    found = auction_cuda.match(x, y)
    gap = ((found.cost - found.dual) / found.cost).max().item()
    ops.match(drawn[:1], target[:1])
    start = time.perf_counter()
    exact = ops.match(drawn, target).cost
    cpu = (time.perf_counter() - start) * 1e3
    above = (found.cost.cpu() / exact - 1).max().item()
    return f"{b:4d} x {n:<7d} {ours:9.2f} {gap:14.1e} {above:14.1e} {cpu:12.1f} {cpu / ours:9.1f}"


def size(text: str) -> tuple[int, int]:
    b, n = text.split("x")
    return int(b), int(n)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--sizes", type=size, nargs="*", metavar="BxN",
                        default=[(32, 1024), (32, 2048), (32, 4096), (32, 16384), (4, 10000), (1, 100000)])  # fmt: skip
    parser.add_argument(
        "--matchings", type=size, nargs="*", metavar="BxN", default=[(32, 1024), (128, 1024), (32, 4096)]
    )
    options = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("expected a CUDA device, but torch finds none; run this where `nvidia-smi` shows a GPU")
    if not nearest_cuda.AVAILABLE:
        sys.exit("expected triton and a C compiler, but one is missing; install triton and gcc")
    limit = multiply_adds_a_second()
    print(
        f"{torch.cuda.get_device_name()}, torch {torch.__version__}: {limit / 1e12:.2f} T fused multiply-adds a second"
    )
    print("  sets x points   ours ms  T operations  of the limit   x cdist x pytorch3d")
    for b, n in options.sizes:
        print(compare_nearest(b, n, limit), flush=True)
    print("  sets x points   auction ms  certified gap  above optimum   exact CPU ms    x CPU")
    for b, n in options.matchings:
        print(compare_matching(b, n), flush=True)


if __name__ == "__main__":
    main()
