"""The posterior of a sample: on disk, in both frames, mirrored, padded, absent where a dataset has none."""

from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh
from torch.utils.data import default_collate

from lit3d.data import Augment, DatasetReader, ShapeDataModule, ViewDataset
from lit3d.data.frames import MIRROR
from lit3d.errors import UserError
from lit3d.synthesis import AmbiguousSource, GrammarSource, SynthesisSettings, ViewRange, synthesize
from lit3d.synthesis.pipeline import prepared
from lit3d.synthesis.shape import bounds

FRONT = ViewRange(azimuth=(-8.0, 8.0), elevation=(0.0, 8.0))
SETTINGS = SynthesisSettings(image_size=32, views=2, points=1200, workers=1, keep_meshes=True, view_range=FRONT)
SOURCE = AmbiguousSource(4, kinds=["mug_handle", "cabinet_depth"], split=(0.5, 0.0, 0.5),
                         probabilities={"cabinet_depth": [0.2, 0.3, 0.5]})  # fmt: skip
KEYS = ("posterior", "posterior_points", "hidden")


@pytest.fixture(scope="module", params=["shards", "folders"])
def reader(request, tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / request.param
    synthesize(SOURCE, root, replace(SETTINGS, layout=request.param))
    return DatasetReader(root)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "plain"
    synthesize(GrammarSource(2, categories=["mug"]), root, SETTINGS)
    return DatasetReader(root)


def own_mesh(name, value):
    """The mesh of a value, from the source, in the object frame."""
    item = next(item for item in SOURCE.items() if item.object == name)
    posterior = SOURCE.load(item).posterior
    shape = prepared(posterior.shapes[value]).shape
    return trimesh.Trimesh(shape.vertices, shape.faces, process=False)


def to_surface(mesh, points):
    return trimesh.proximity.closest_point_naive(mesh, points)[1].max()


@pytest.mark.parametrize("frame", ["viewer", "object"])
@pytest.mark.parametrize("mirror", [0.0, 1.0])
def test_points_of_each_value_lie_on_its_mesh_in_the_target_frame(reader, frame, mirror):
    rows = [next(row for row in reader.index() if row[0].startswith(kind)) for kind in SOURCE.kinds]
    data = ViewDataset(reader, rows, ("points", *KEYS), 80, frame, Augment(mirror=mirror))
    for i, (name, _) in enumerate(rows):
        sample = data[(0, i)]
        back = torch.linalg.inv(sample["object_to_target"].double())
        turn = torch.from_numpy(MIRROR) if mirror else torch.eye(4, dtype=torch.float64)
        back = turn @ back  # a mirrored sample's object axes are mirrored, too
        assert sample["posterior_points"].shape == (3, 80, 3)
        for value in range(2 if name.startswith("mug") else 3):
            points = sample["posterior_points"][value].double() @ back[:3, :3].T + back[:3, 3]
            assert to_surface(own_mesh(name, value), points.numpy()) < 1e-5
        own = sample["points"].double() @ back[:3, :3].T + back[:3, 3]
        assert to_surface(own_mesh(name, int(sample["hidden"])), own.numpy()) < 1e-5


def test_values_that_an_object_lacks_have_probability_0_and_batches_are_made(reader):
    data = ViewDataset(reader, reader.index(), points=64)
    batch = default_collate([data[i] for i in range(len(data))])
    assert batch["posterior"].shape == (len(data), 3)
    assert batch["posterior_points"].shape == (len(data), 3, 64, 3)
    assert batch["hidden"].shape == (len(data),)
    assert batch["hidden"].dtype == torch.int64
    torch.testing.assert_close(batch["posterior"].sum(1), torch.ones(len(data)))
    for category, p, points in zip(batch["category"], batch["posterior"], batch["posterior_points"], strict=True):
        wanted = [0.5, 0.5, 0.0] if category == "mug_handle" else [0.2, 0.3, 0.5]
        torch.testing.assert_close(p, torch.tensor(wanted))
        assert torch.equal(points[1], points[2]) == (category == "mug_handle")
        assert not torch.equal(points[0], points[1])


def test_hidden_is_the_value_in_the_name_and_test_twins_show_the_same(reader):
    data = ViewDataset(reader, reader.index("test"), ("points", "mask", "depth", "normal"), 64)
    values = {"mug_handle": ["left", "right"], "cabinet_depth": ["shallow", "middle", "deep"]}
    twins = defaultdict(list)
    for i in range(len(data)):
        sample = data[i]
        seen, _, value = sample["object"].rpartition("-")
        assert values[sample["category"]][sample["hidden"]] == value
        twins[seen, sample["view"]].append(sample)
    assert {len(group) for group in twins.values()} == {2, 3}
    for first, *others in twins.values():
        for other in others:
            for key in ("image", "mask", "depth", "normal", "pose", "intrinsics", "posterior", "posterior_points"):
                assert torch.equal(first[key], other[key]), key
            assert not torch.equal(first["points"], other["points"])


def test_training_reads_posteriors_only_when_asked_and_test_always(reader, plain):
    rows = reader.index()
    assert not set(KEYS) & set(ViewDataset(reader, rows, points=64)[(0, 0)])
    assert set(KEYS) <= set(ViewDataset(reader, rows, KEYS, 64)[(0, 0)])
    assert set(KEYS) <= set(ViewDataset(reader, rows, points=64)[0])
    assert ViewDataset(reader, rows, points=1100)[0]["posterior_points"].shape == (3, 1024, 3)
    assert not set(KEYS) & set(ViewDataset(plain, plain.index(), points=64)[0])
    assert plain.posterior_values == 0
    assert "posterior_values" not in plain.info
    with pytest.raises(UserError, match="hidden, posterior are asked for, but .* does not know what its pictures hide"):
        ViewDataset(plain, plain.index(), ("posterior", "hidden"), 64)
    with pytest.raises(UserError, match="does not know what its pictures hide: make one with data=ambiguous"):
        plain.posterior(0)


def test_a_kept_mesh_keeps_its_box_so_that_fresh_views_hide_the_value_too(reader):
    for entry in reader.objects:
        mesh = reader.mesh(entry.object)
        again = prepared(mesh)
        np.testing.assert_allclose(again.shape.vertices, mesh.vertices, atol=1e-6)
        if entry.object.endswith("shallow"):
            lower, upper = bounds(mesh)
            assert (upper - lower)[2] < 0.5 < again.extents[2]  # its own box is another
    data = ShapeDataModule("a", reader.root, views="online", synthesis=SETTINGS, points=64, test_points=64)
    one, other = data.dataset("train")[(0, 0)], data.dataset("train")[(1, 0)]
    assert not torch.equal(one["image"], other["image"])


def test_damage_is_found(reader, tmp_path):
    assert not list(reader.verify())
    name = reader.objects[0].object
    if reader.info["layout"] == "folders":
        path = reader.root / "objects" / name / "posterior.npy"
        content = path.read_bytes()
        path.write_bytes(content[:-7])
        try:
            with pytest.raises(UserError, match=r"posterior.npy is damaged: shorter than its header says"):
                DatasetReader(reader.root).posterior(name)
        finally:
            path.write_bytes(content)
