import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from lit3d.ops.kernels import auction_cuda, nearest_cuda
from lit3d.ops.neighbours import nearest_reference

ROOT = Path(__file__).parents[2]
linux = pytest.mark.skipif(sys.platform != "linux", reason="triton has no wheels elsewhere")


@pytest.mark.slow
@linux
def test_kernels_in_triton_s_interpreter():
    """In a process of its own: the variable must stand before triton is imported, and rules out compiled kernels."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/ops/kernels_interpreted.py"],
        cwd=ROOT, env=os.environ | {"TRITON_INTERPRET": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]


COMPILE = """
import itertools
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile
from lit3d.ops.kernels import auction_triton as auction, nearest_triton as nearest

def check(kernel, constants, warps, capability, **types):
    names = kernel.arg_names
    signature = {name: "constexpr" if name in constants else types.get(name, "i32") for name in names}
    aligned = {(i,): [["tt.divisibility", 16]] for i, name in enumerate(names) if signature[name].startswith("*")}
    source = ASTSource(kernel, signature, {(names.index(k),): v for k, v in constants.items()}, aligned)
    built = compile(source, target=GPUTarget("cuda", capability, 32), options={"num_warps": warps})
    assert len(built.asm["cubin"]) > 1000 and "ftz" not in built.asm["ptx"].replace("sqrt.approx.ftz", "")
    return built

each = dict.fromkeys
for capability, real in itertools.product((80, 90), ("*fp32", "*fp64")):
    types = each(("x", "y", "least", "squared", "rows", "objects", "price"), real) | {"where": "*i32", "index": "*i64"}
    tiles = check(nearest.nearest_tiles, dict(D=3, QUERIES=512, TARGETS=16), 4, capability, **types)
    assert tiles.metadata.shared == 0  # no exchange between lanes: queries and targets lie as the loop wants them
    check(nearest.nearest_of_tile, dict(D=2, QUERIES=128, TARGETS=16), 4, capability, **types)
    check(auction.least_values, dict(ROWS=128, COLUMNS=16), 4, capability, **types)
types = each(("rows", "objects", "price", "start", "epsilon", "key", "passed"), "*fp32")
types |= each(("owner", "choice", "queue", "before"), "*i32") | each(("ratio", "smallest", "shrink"), "fp32")
check(auction.settle, dict(FINISH=True, SLOTS=32, COLUMNS=512), 16, 90, **types)
"""


@linux
@pytest.mark.slow
def test_kernels_compile_for_devices_that_are_not_here(tmp_path):
    """The interpreter lets pass what the compiler refuses; both are needed where there is no device."""
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"} | {"TRITON_CACHE_DIR": str(tmp_path)}
    source = tmp_path / "compile_kernels.py"
    source.write_text(COMPILE)
    environment["PYTHONPATH"] = str(ROOT)
    done = subprocess.run([sys.executable, source], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.parametrize("processors", [1, 20, 132])
@pytest.mark.parametrize("sizes", [(1, 1, 1), (32, 1024, 1024), (1, 100000, 100000), (4, 10000, 10000), (3, 700, 9)])
def test_the_plan_covers_all_targets_and_fills_the_device(sizes, processors):
    b, n, m = sizes
    queries, chunk, chunks = nearest_cuda.plan(b, n, m, processors)
    assert (chunks - 1) * chunk < m <= chunks * chunk
    assert chunk % nearest_cuda.TARGETS == 0
    programs = b * nearest_cuda.parts(n, queries) * chunks
    assert programs >= min(8 * processors, b * n * m // (512 * 144))


def test_kernels_import_without_triton():
    code = (
        "import sys; sys.modules['triton'] = None\n"
        "from lit3d.ops.kernels import auction_cuda, nearest_cuda; import torch\n"
        "print(auction_cuda.match_reference(torch.zeros(1, 2, 3), torch.zeros(1, 2, 3)).cost.item())"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout == "0.0\n", done.stderr


def sphere(r, n):
    p = r.normal(size=(n, 3))
    return 0.5 * p / np.linalg.norm(p, axis=1, keepdims=True)


def clusters(r, n):
    x, y = 0.2 * sphere(r, n), 0.2 * sphere(r, n)
    x[: n // 4] += 1
    y[: 3 * n // 4] += 1
    return x, y


KINDS = {
    "uniform": lambda r, n: (r.uniform(size=(n, 3)), r.uniform(size=(n, 3))),
    "trained": lambda r, n: (sphere(r, n) + r.normal(0, 0.02, (n, 3)), sphere(r, n)),
    "untrained": lambda r, n: (r.normal(0, 0.02, (n, 3)), sphere(r, n)),
    "one point": lambda r, n: (np.full((n, 3), 0.3), sphere(r, n)),
    "all one point": lambda r, n: (np.full((n, 3), 0.3), np.full((n, 3), 0.3)),
    "onto few": lambda r, n: (sphere(r, n), sphere(r, 5)[r.integers(0, 5, n)]),
    "duplicates": lambda r, n: tuple(sphere(r, n)[r.integers(0, n // 8 + 1, n)] for _ in range(2)),
    "far and small": lambda r, n: (0.01 * sphere(r, n) + 50, 0.01 * sphere(r, n)),
    "clusters": clusters,
    "same set": lambda r, n: (lambda y: (y[r.permutation(n)], y))(sphere(r, n)),
    "moved": lambda r, n: (lambda y: (y[r.permutation(n)] + r.normal(0, 0.002, (n, 3)), y))(sphere(r, n)),
    "line": lambda r, n: tuple(r.uniform(size=(n, 1)) * [1, 2, 3] for _ in range(2)),
    "plane": lambda r, n: (r.uniform(size=(n, 2)), r.uniform(size=(n, 2))),
    "huge": lambda r, n: (1e100 * sphere(r, n), 1e100 * sphere(r, n)),
    "far away": lambda r, n: (1e3 + sphere(r, n), 1e3 + sphere(r, n)),
}


def batch(kind, b, n, dtype=torch.float64, device="cpu"):
    both = zip(*[KINDS[kind](np.random.default_rng([n, i]), n) for i in range(b)], strict=True)
    return [torch.from_numpy(np.stack(side)).to(device, dtype) for side in both]


def prove(x, y, found, gap=1e-3, against_scipy=True):
    """A bijection; a lower bound that its prices prove, below the least cost; as near to it as asked."""
    x, y, (index, cost, dual, prices) = x.cpu().double(), y.cpu().double(), [f.cpu().double() for f in found]
    for i in range(len(x)):
        matrix, p = cdist(x[i], y[i]), prices[i].numpy()
        assert (np.sort(index[i]) == np.arange(len(matrix))).all()
        assert float(cost[i]) == pytest.approx(matrix[np.arange(len(matrix)), index[i].long()].sum(), rel=1e-9)
        assert float(dual[i]) == pytest.approx(
            max((matrix + p).min(1).sum() - p.sum(), 0), rel=1e-9, abs=1e-9 * matrix.max()
        )
        best = matrix[linear_sum_assignment(matrix)].sum() if against_scipy else float(cost[i])
        assert float(dual[i]) <= best * (1 + 1e-12)
        assert best <= float(cost[i]) * (1 + 1e-9)
        assert float(cost[i] - dual[i]) <= gap * float(cost[i])


@pytest.mark.parametrize("kind", KINDS)
def test_plain_torch_auction_on_every_kind(kind):
    for n in (1, 2, 17, 150):
        x, y = batch(kind, 2, n)
        prove(x, y, auction_cuda.match_reference(x, y))


@pytest.mark.parametrize("kind", ["trained", "clusters", "moved"])
def test_plain_torch_auction_in_float32(kind):
    x, y = batch(kind, 2, 80, torch.float32)
    prove(x, y, auction_cuda.match_reference(x, y))


@pytest.mark.parametrize("gap", [0.1, 1e-4])
def test_the_gap_asked_for_is_the_gap_found(gap):
    x, y = batch("trained", 2, 140)
    prove(x, y, auction_cuda.match_reference(x, y, gap), gap)


@pytest.mark.parametrize("kind", ["trained", "all one point", "clusters"])
@pytest.mark.parametrize("rounds", [0, 1, 20])
def test_without_time_there_is_a_bijection_and_its_gap(kind, rounds):
    x, y = batch(kind, 2, 150)
    prove(x, y, auction_cuda.match_reference(x, y, rounds=rounds), gap=1.0)


def test_samples_do_not_know_each_other():
    x, y = (
        torch.cat(side)
        for side in zip(batch("trained", 1, 60), batch("clusters", 1, 60), batch("moved", 1, 60), strict=True)
    )
    together = auction_cuda.match_reference(x, y)
    for i in range(3):
        alone = auction_cuda.match_reference(x[i : i + 1], y[i : i + 1])
        assert torch.equal(together.index[i], alone.index[0])
        assert torch.equal(together.prices[i], alone.prices[0])


def test_an_empty_batch_and_one_of_many():
    nothing = auction_cuda.match_reference(torch.rand(0, 5, 3), torch.rand(0, 5, 3))
    assert [tuple(f.shape) for f in nothing] == [(0, 5), (0,), (0,), (0, 5)]
    x, y = batch("uniform", 500, 3)
    prove(x, y, auction_cuda.match_reference(x, y))


def test_levels_end_with_every_point():
    assert list(auction_cuda.strides(1)) == [1]
    assert list(auction_cuda.strides(127)) == [1]
    assert list(auction_cuda.strides(1024)) == [16, 4, 1]


def test_the_benchmark_says_in_one_sentence_that_it_needs_a_device():
    if torch.cuda.is_available():
        pytest.skip("there is one")
    done = subprocess.run(
        [sys.executable, "-m", "experiments.speed.gpu"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert (
        done.stderr.strip() == "expected a CUDA device, but torch finds none; run this where `nvidia-smi` shows a GPU"
    )


@pytest.mark.gpu
@pytest.mark.parametrize(
    "sizes", [(32, 1024, 1024), (32, 2048, 3000), (4, 10000, 10000), (1, 100000, 20000), (2, 7, 5)]
)
@pytest.mark.parametrize("d", [2, 3])
def test_nearest_on_a_device(sizes, d):
    b, n, m = sizes
    x, y = torch.rand(b, n, d, device="cuda"), torch.rand(b, m, d, device="cuda")
    squared, index = nearest_cuda.nearest(x, y)
    expected, _ = nearest_reference(x, y, chunk=256)
    torch.testing.assert_close(squared, expected, rtol=1e-6, atol=0)
    there = y.gather(1, index[..., None].expand(-1, -1, d))
    torch.testing.assert_close(((x - there) ** 2).sum(-1), squared, rtol=1e-6, atol=0)


@pytest.mark.gpu
def test_nearest_on_a_device_agrees_with_the_cpu_kernel_and_its_ties():
    from lit3d import ops

    x, y = (torch.randint(0, 6, (4, 3000, 3)).float() for _ in range(2))
    for a, b in ((x, y), (torch.rand(4, 3000, 3), torch.rand(4, 2000, 3))):
        on_cpu, on_device = ops.nearest(a, b), nearest_cuda.nearest(a.cuda(), b.cuda())
        assert torch.equal(on_cpu[1], on_device[1].cpu())
        torch.testing.assert_close(on_cpu[0], on_device[0].cpu(), rtol=1e-6, atol=0)


@pytest.mark.gpu
def test_nearest_on_a_device_needs_no_n_times_m_memory():
    x = torch.rand(1, 100000, 3, device="cuda")
    nearest_cuda.nearest(x, x)
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    nearest_cuda.nearest(x, x)
    assert torch.cuda.max_memory_allocated() - before < 64 * 2**20


@pytest.mark.gpu
@pytest.mark.parametrize("kind", KINDS)
def test_auction_on_a_device(kind):
    for n in (1, 2, 17, 150, 1024):
        x, y = batch(kind, 3, n, device="cuda")
        prove(x, y, auction_cuda.match(x, y), against_scipy=n < 1024)


@pytest.mark.gpu
@pytest.mark.parametrize("rounds", [0, 1, 20])
def test_auction_on_a_device_without_time(rounds):
    x, y = batch("trained", 3, 1000, device="cuda")
    prove(x, y, auction_cuda.match(x, y, rounds=rounds), gap=1.0, against_scipy=False)


@pytest.mark.gpu
def test_nothing_waits_for_the_device():
    x, y = batch("trained", 4, 300, torch.float32, "cuda")
    auction_cuda.match(x, y), nearest_cuda.nearest(x, y)  # compile
    torch.cuda.set_sync_debug_mode("error")
    try:
        auction_cuda.match(x, y), nearest_cuda.nearest(x, y)
    finally:
        torch.cuda.set_sync_debug_mode("default")
