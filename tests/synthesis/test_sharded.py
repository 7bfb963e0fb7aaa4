"""A dataset made in shares is the dataset of a single run, whatever the order and whoever is killed."""

import hashlib
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lit3d.config import compose
from lit3d.errors import UserError
from lit3d.synthesis import sharded
from lit3d.synthesis.pipeline import synthesize
from lit3d.synthesis.sharded import synthesize_share
from lit3d.synthesize import _shards_of_sweep, task

sys.path.insert(0, str(Path(__file__).parent))

from boxes import SMALL, BoxSource


def digest(root):
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(root.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    root = tmp_path_factory.mktemp("whole") / "d"
    synthesize(BoxSource(20), root, SMALL)
    return digest(root)


def test_shares_in_any_order_end_with_the_bytes_of_one_run(tmp_path, whole):
    root = tmp_path / "d"
    reports = [synthesize_share(BoxSource(20), root, SMALL, share, 3) for share in (2, 0, 1)]
    assert [r.missing for r in reports] == [(0, 1), (1,), ()]
    assert sum(r.made for r in reports) == 24
    assert sum(r.failures for r in reports) == 4
    assert digest(root) == whole
    assert synthesize_share(BoxSource(20), root, SMALL, 1, 3).made == 0


def test_shares_at_the_same_time(tmp_path, whole):
    root = tmp_path / "d"
    with ThreadPoolExecutor(4) as pool:
        reports = list(pool.map(lambda k: synthesize_share(BoxSource(20), root, SMALL, k, 4), range(4)))
    assert any(not r.missing for r in reports)
    assert digest(root) == whole


def test_a_share_that_was_killed_is_made_by_its_next_start_or_by_a_plain_run(tmp_path, whole, monkeypatch):
    root = tmp_path / "d"
    synthesize_share(BoxSource(20), root, SMALL, 0, 2)
    real, calls = sharded.rename, []

    def killed(aside, final):
        calls.append(final)
        if len(calls) == 3:
            raise SystemError("killed")
        real(aside, final)

    monkeypatch.setattr(sharded, "rename", killed)
    with pytest.raises(SystemError):
        synthesize_share(BoxSource(20), root, SMALL, 1, 2)
    monkeypatch.undo()
    other = tmp_path / "other"
    import shutil

    shutil.copytree(root, other)
    assert synthesize_share(BoxSource(20), root, SMALL, 1, 2).missing == ()
    assert digest(root) == whole
    synthesize(BoxSource(20), other, SMALL)
    assert digest(other) == whole


def test_wrong_shares_are_refused(tmp_path):
    with pytest.raises(UserError, match="shard must lie between 0 and shards - 1 = 1, got 2"):
        synthesize_share(BoxSource(), tmp_path / "d", SMALL, 2, 2)
    with pytest.raises(UserError, match="-m shard=0,1,2"):
        _shards_of_sweep()
    with pytest.raises(UserError, match="remove the old dataset"):
        task(compose("synthesize", ["shard=0", "shards=2", "overwrite=true", "paths.output=x", "paths.data=y"]))
