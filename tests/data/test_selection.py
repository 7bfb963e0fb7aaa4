"""A smaller training set: counts, nesting, categories left out, and what must not change with it."""

import itertools

import pytest
import torch

from lit3d.callbacks.references import Neighbours
from lit3d.callbacks.rows import mean_shape_of
from lit3d.data import ShapeDataModule
from lit3d.data.listing import ObjectRow
from lit3d.data.selection import Selection
from lit3d.errors import UserError
from lit3d.synthesis import GrammarSource, SynthesisSettings, synthesize

OBJECTS = [
    ObjectRow(f"{category}-{i:02d}", category, split, "00.zip", 3, 12, 0.0, 0, {})
    for category, count in (("bench", 2), ("chair", 9), ("mug", 6))
    for split in ("train", "val", "test")
    for i in range(count if split == "train" else 1)
]
CATEGORIES = ("bench", "chair", "mug")


def counted(rows):
    """Objects of each category, and the views of each object."""
    names = {name for name, _ in rows}
    views = {tuple(view for other, view in rows if other == name) for name in names}
    return {c: sum(n.startswith(c) for n in names) for c in CATEGORIES}, views


def test_nothing_is_left_out_by_default():
    assert counted(Selection().rows(OBJECTS, "train")) == ({"bench": 2, "chair": 9, "mug": 6}, {(0, 1, 2)})


def test_objects_are_counted_a_category_and_views_an_object():
    rows = Selection(objects=4, views=2).rows(OBJECTS, "train")
    assert counted(rows) == ({"bench": 2, "chair": 4, "mug": 4}, {(0, 1)})  # there are only two benches
    assert rows == sorted(rows)
    assert counted(Selection(views=7).rows(OBJECTS, "train"))[1] == {(0, 1, 2)}


def test_a_smaller_set_is_part_of_a_larger_one_and_not_its_beginning():
    sets = [set(Selection(objects=n).rows(OBJECTS, "train")) for n in range(1, 10)]
    assert all(small < large for small, large in itertools.pairwise(sets))
    assert {name for name, _ in sets[2] if name.startswith("chair")} != {"chair-00", "chair-01", "chair-02"}


def test_left_out_categories_are_in_the_test_alone():
    selection = Selection(objects=1, views=1, leave_out=("chair",))
    assert counted(selection.rows(OBJECTS, "train")) == ({"bench": 1, "chair": 0, "mug": 1}, {(0,)})
    assert counted(selection.rows(OBJECTS, "val")) == ({"bench": 1, "chair": 0, "mug": 1}, {(0, 1, 2)})
    assert selection.rows(OBJECTS, "test") == Selection().rows(OBJECTS, "test")


@pytest.mark.parametrize("options", [{"objects": 0}, {"views": 0}, {"views": -3}])
def test_counts_below_one_are_refused(options):
    with pytest.raises(UserError, match=rf"data.train_{next(iter(options))} must be at least 1, or null for all"):
        Selection(**options)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A dataset of three categories on disk."""
    root = tmp_path_factory.mktemp("data") / "set"
    source = GrammarSource(8, categories=["bench", "chair", "mug"], split=(0.5, 0.25, 0.25))
    synthesize(source, root, SynthesisSettings(image_size=16, views=3, points=40, workers=1))
    return root


def module(root, **options):
    data = ShapeDataModule("small", root, points=10, test_points=20, batch_size=2, **options)
    data.setup()
    return data


def test_the_data_module_trains_without_a_category_and_tests_with_it(root):
    whole, data = module(root), module(root, leave_out="chair", train_objects=2, train_views=1)
    seen = {batch_category for batch in data.train_dataloader() for batch_category in batch["category"]}
    assert seen == {"bench", "mug"}
    assert {data.opened.category(name) for name, _ in data.dataset("val").rows} == {"bench", "mug"}
    assert data.dataset("test").rows == whole.dataset("test").rows
    assert {data.opened.category(name) for name, _ in data.dataset("test").rows} == {"bench", "chair", "mug"}
    assert len(data.dataset("train")) == 4
    assert {view for _, view in data.dataset("train").rows} == {0}


def test_reference_rows_know_only_the_smaller_set_whatever_was_kept_before(root):
    whole, data = module(root), module(root, leave_out=["chair"], train_objects=1)
    before = set(Neighbours(whole, "test").oracle.values())
    found = Neighbours(data, "test")
    allowed = {name for name, _ in data.rows("train")}
    assert {found.train.rows[i][0] for i in found.seen.values()} <= allowed
    assert set(found.oracle.values()) <= allowed < {name for name, _ in whole.rows("train")}
    assert any(name.startswith("chair") for name in before)
    assert found.oracle.keys() == Neighbours(whole, "test").oracle.keys()  # the test keeps its chairs
    assert not torch.equal(mean_shape_of(whole, 8), mean_shape_of(data, 8))


def test_the_nominal_camera_is_read_off_the_views_that_training_sees(root):
    data = module(root, train_views=1)
    cameras = [data.opened.description(name)["cameras"][0] for name, _ in data.rows("train")]
    assert data.nominal_camera()["distance"] == pytest.approx(sum(c["distance"] for c in cameras) / len(cameras))


def test_a_split_that_is_empty_for_want_of_a_category_says_so(root, monkeypatch):
    data = module(root, leave_out=["chair"])
    monkeypatch.setattr(data, "rows", lambda split: [])
    with pytest.raises(UserError, match=r"has no 'val' objects but those of data.leave_out=\['chair'\]"):
        data.dataset("val")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"leave_out": ["chiar"]}, r"data.leave_out names 'chiar', .* bench, chair, mug. Did you mean 'chair'"),
        ({"leave_out": ["mug", "chair", "bench"]}, "names all 3 categories: leave at least one"),
        ({"train_objects": 0}, "data.train_objects must be at least 1"),
        ({"train_views": 1, "views": "online"}, "data.train_views counts stored views"),
    ],
)
def test_mistakes_are_sentences(root, options, sentence):
    with pytest.raises(UserError, match=sentence):
        module(root, **options)
