"""Retrieval, oracle and the numbers that compare a model with them."""

import shutil

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from lit3d.callbacks.references import Neighbours, closest_shape, gap_closed, paired_interval


def chamfer(x, y):
    return (cKDTree(y).query(x)[0] ** 2).mean() + (cKDTree(x).query(y)[0] ** 2).mean()


def test_the_closest_shape_is_that_of_an_exhaustive_search():
    generator = np.random.default_rng(0)
    shapes = generator.normal(size=(20, 1024, 3)) * generator.uniform(0.1, 0.5, (20, 1, 3))
    for truth in generator.normal(size=(4, 1024, 3)) * generator.uniform(0.1, 0.5, (4, 1, 3)):
        expected = int(np.argmin([chamfer(truth, shape) for shape in shapes]))
        assert closest_shape(torch.from_numpy(truth).float(), torch.from_numpy(shapes).float()) == expected


def test_gap_closed_at_both_ends_and_for_distances():
    low, high = {"fscore_5pct": 0.4, "emd": 0.1, "failure": 0.0}, {"fscore_5pct": 0.9, "emd": 0.02, "failure": 0.0}
    assert gap_closed(low, low, high) == {"fscore_5pct": 0, "emd": 0}
    assert gap_closed(high, low, high) == {"fscore_5pct": 1, "emd": 1}
    assert gap_closed({"emd": 0.06}, low, high)["emd"] == pytest.approx(0.5)


def test_the_interval_covers_the_true_gain_and_counts_objects_not_views():
    generator = np.random.default_rng(0)
    hits = 0
    for trial in range(200):
        per_object = generator.normal(0.05, 0.2, 60)
        found = paired_interval(np.repeat(per_object, 4), [str(i) for i in range(60) for _ in range(4)], 400, trial)
        hits += found["low"] < 0.05 < found["high"]
        assert found["mean"] == pytest.approx(per_object.mean())
    assert 0.88 < hits / 200 < 0.99  # were views taken as independent, about two thirds


def test_neighbours_are_kept_and_a_training_view_finds_itself(datasets, tmp_path):
    from lit3d.build import instantiate, plain
    from lit3d.config import compose

    config = plain(compose("run", ["debug=tiny", f"paths.data={datasets}", f"paths.output={tmp_path}"]))
    root = tmp_path / "copy"
    source = config["data"]["root"]
    instantiate(config["data"], seed=0).make()
    shutil.copytree(source, root, ignore=shutil.ignore_patterns("references"))
    data = instantiate(config["data"] | {"root": str(root)}, seed=0)
    data.setup()
    found = Neighbours(data, "train")
    before = set(root.glob("references/*"))
    assert all(found.train.rows[i] == row for row, i in found.seen.items())
    assert all(name == other for name, other in found.oracle.items())
    first = Neighbours(data, "test")
    (kept,) = [p for p in root.glob("references/neighbours_*.npz") if p not in before]
    written = kept.stat().st_mtime_ns
    second = Neighbours(data, "test")
    assert (second.seen, second.oracle, kept.stat().st_mtime_ns) == (first.seen, first.oracle, written)


def test_rows_of_a_rebuilt_or_shortened_dataset_are_found_anew(tmp_path):
    """The same folder, other objects: nothing of the old rows may be used."""
    from lit3d.callbacks.rows import mean_shape_of
    from lit3d.data import ShapeDataModule
    from lit3d.synthesis import GrammarSource, SynthesisSettings

    root, aside = tmp_path / "d", tmp_path / "aside"

    def rows_of(seed, **options):
        settings = SynthesisSettings(image_size=16, views=2, points=64)
        source = GrammarSource(objects_per_category=6, seed=seed, categories=("mug", "table"))
        data = ShapeDataModule("tiny", root, source, settings, test_points=32, **options)
        data.make(overwrite=True)
        shutil.copytree(aside, root / "references", dirs_exist_ok=True)  # a rebuild removes them
        data.setup()
        found = mean_shape_of(data, 16), Neighbours(data, "test")
        shutil.copytree(root / "references", aside, dirs_exist_ok=True)
        return found, len(list(aside.iterdir()))

    aside.mkdir()
    (first, files), (other, more) = rows_of(0), rows_of(1)
    assert (files, more) == (2, 4)
    assert not torch.equal(first[0], other[0])
    again, same = rows_of(0)
    assert same == 4
    assert torch.equal(first[0], again[0])
    assert (first[1].seen, first[1].oracle) == (again[1].seen, again[1].oracle)
    limited, files = rows_of(0, limit=3)
    assert files == 6
    assert not torch.equal(limited[0], first[0])
    turned, files = rows_of(0, frame="object")
    assert files == 7  # neighbours do not depend on the frame
    assert not torch.equal(turned[0], first[0])
