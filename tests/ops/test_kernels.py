"""Compiled kernels where they are hard to run: threads, forked and spawned workers, read-only installs, cold caches."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from lit3d.ops.kernels import pool

ROOT = Path(__file__).parents[2]


def digest(seed=0):
    """A number from the results of every kind of kernel: the same wherever it is computed."""
    from lit3d import ops
    from lit3d.data.augment import composite
    from lit3d.ops.kernels.triangles import self_intersecting
    from lit3d.synthesis import GrammarSource, SynthesisSettings
    from lit3d.synthesis.pipeline import object_generator, render_object

    rng = np.random.default_rng(seed)
    x, y = (torch.from_numpy(rng.random((2, 400, 3), dtype=np.float32)) for _ in range(2))
    source = GrammarSource(1, categories=["mug"])
    settings = SynthesisSettings(image_size=32, views=1, points=200, shadows=True)
    record = render_object(source.load(source.items()[0]), settings, object_generator(seed, "a"))
    view = record.views[0]
    passing = self_intersecting(rng.random((30, 3)), np.arange(30).reshape(10, 3))
    parts = [passing, ops.nearest(x, y)[1], ops.match(x, y).index, record.points, view.depth, view.image,
             composite(view.image, np.ones(3, np.float32))]  # fmt: skip
    return hashlib.sha256(b"".join(np.asarray(p).tobytes() for p in parts)).hexdigest()


class Digests(Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, i):
        return digest(i)


@pytest.fixture(scope="module")
def expected():
    return [digest(i) for i in range(4)]


def test_two_threads_agree_with_one(expected):
    assert pool.over_samples(digest, [0, 1, 2, 3]) == expected


def test_forked_workers_agree(expected):
    loader = DataLoader(Digests(), num_workers=2, batch_size=None, multiprocessing_context="fork")
    assert list(loader) == expected


@pytest.mark.slow
def test_spawned_workers_agree(expected):
    code = (
        "from tests.ops import test_kernels as t; from torch.utils.data import DataLoader\n"
        "if __name__ == '__main__':\n"
        "    print(*DataLoader(t.Digests(), num_workers=1, batch_size=None, multiprocessing_context='spawn'))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == expected


def test_errors_of_any_thread_are_raised():
    def fail(i):
        if i == 3:
            raise ValueError("sample 3")
        return i

    with pytest.raises(ValueError, match="sample 3"):
        pool.over_samples(fail, range(8))
    assert pool.over_samples(fail, range(3)) == [0, 1, 2]


def nearest_in_a_process(folder, **environment):
    code = "import torch; from lit3d import ops; print(int(ops.nearest(torch.zeros(1, 1, 3), torch.ones(1, 2, 3))[1]))"
    return subprocess.Popen(
        [sys.executable, "-c", code], cwd=folder, env={"PATH": os.environ["PATH"]} | environment,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.mark.slow
def test_two_processes_may_compile_at_once(tmp_path):
    both = [nearest_in_a_process(ROOT, NUMBA_CACHE_DIR=str(tmp_path), HOME=str(tmp_path)) for _ in range(2)]
    for process in both:
        out, error = process.communicate(timeout=200)
        assert (process.returncode, out.strip()) == (0, "0"), error
    assert list(tmp_path.rglob("*.nbi"))


@pytest.mark.slow
def test_an_unprivileged_user_of_a_read_only_install(tmp_path):
    """Neither the package nor HOME is writable: the cache goes to a folder of the user's own, or there is none."""
    import shutil

    site, home = tmp_path / "site", tmp_path / "home"
    shutil.copytree(ROOT / "lit3d", site / "lit3d", ignore=shutil.ignore_patterns("__pycache__"))
    home.mkdir()
    for path in [site, home, *site.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    # Root may write anywhere: take that power from the process, as for any other user.
    plain = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.getuid() == 0 else []
    code = (
        "import torch; from lit3d import ops; print(ops.__file__); "
        "print(int(ops.nearest(torch.zeros(1, 1, 3), torch.ones(1, 2, 3))[1]))"
    )
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": str(site), "TMPDIR": str(temporary)}
    done = subprocess.run(
        [*plain, sys.executable, "-P", "-c", code],
        cwd=site,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.startswith(str(site))
    assert list(temporary.glob("lit3d-numba-*"))


@pytest.mark.slow
def test_the_first_compilation_is_announced_once_and_a_cached_one_is_not(tmp_path):
    for expected in (1, 0):
        process = nearest_in_a_process(ROOT, NUMBA_CACHE_DIR=str(tmp_path), HOME=str(tmp_path))
        out, error = process.communicate(timeout=200)
        assert (process.returncode, out.strip()) == (0, "0"), error
        assert error.count("lit3d: compiling CPU kernels (once, kept on disk)") == expected
