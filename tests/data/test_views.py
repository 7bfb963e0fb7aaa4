"""Image, geometry, camera and points of a sample tell the same story, in both frames, with and without augmentation."""

import pickle

import numpy as np
import pytest
import torch

from lit3d import ops
from lit3d.data import Augment, DatasetReader, ViewDataset
from lit3d.data.augment import composite, shifted
from lit3d.data.frames import MIRROR
from lit3d.data.online import OnlineViewDataset
from lit3d.data.places import Places
from lit3d.data.sampler import EpochSampler
from lit3d.errors import UserError
from lit3d.synthesis import GrammarSource, SynthesisSettings, synthesize
from lit3d.synthesis.occupancy import inside_function

KEYS = ("points", "point_normals", "point_parts", "mask", "depth", "normal")
STRONG = Augment(mirror=0.5, shift=5, colour=0.2, saturation=0.5, hue=0.1, grey=0.1, background="random", white=0.3)


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "set"
    source = GrammarSource(4, categories=["chair", "mug"])
    synthesize(source, root, SynthesisSettings(image_size=64, views=3, points=3000, workers=1, keep_meshes=True))
    return DatasetReader(root)


def dataset(reader, **options):
    return ViewDataset(reader, reader.index(), **({"keys": KEYS, "points": 2000, "augment": STRONG} | options))


def projected(sample):
    pixels, depth = ops.project(*(sample[k][None] for k in ("points", "intrinsics", "pose")))
    return pixels[0], depth[0]


def hits(sample):
    """Share of projected points whose pixel, or a neighbour of it, is on the mask."""
    pixels, _ = projected(sample)
    mask = torch.nn.functional.max_pool2d(sample["mask"][None].float(), 3, 1, 1)[0, 0] > 0
    u, v = (pixels.floor().long().clamp(0, 63)).unbind(-1)
    inside = ((pixels >= 0) & (pixels < 64)).all(-1)
    return float((mask[v, u] | ~inside).float().mean())


@pytest.mark.parametrize("frame", ["viewer", "object"])
@pytest.mark.parametrize("epoch", [None, 0, 1, 2])
def test_points_project_onto_the_mask(reader, frame, epoch):
    data = dataset(reader, frame=frame)
    for i in range(0, len(data), 2):
        sample = data[i if epoch is None else (epoch, i)]
        assert hits(sample) > 0.995
        assert float(torch.linalg.det(sample["pose"])) == pytest.approx(1, abs=1e-5)
        assert float(torch.linalg.det(sample["object_to_target"])) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("frame", ["viewer", "object"])
def test_depth_is_the_nearest_surface(reader, frame):
    data = dataset(reader, frame=frame)
    for i in range(0, len(data), 3):
        sample = data[(0, i)]
        pixels, depth = projected(sample)
        u, v = pixels.floor().long().clamp(0, 63).unbind(-1)
        ground = sample["depth"][0, v, u]
        on = (ground > 0) & ((pixels >= 0) & (pixels < 64)).all(-1)
        assert float((depth[on] > ground[on] - 0.06).float().mean()) > 0.96  # 0.973 to 0.996 without any change


def test_the_viewer_frame_is_the_cameras_with_the_object_at_its_origin(reader):
    sample = dataset(reader, frame="viewer")[0]
    assert torch.equal(sample["pose"][:3, :3], torch.eye(3))
    assert sample["pose"][:2, 3].abs().max() < 1e-5
    assert float(sample["points"].abs().max()) < 0.9
    back = sample["points"] @ sample["object_to_target"][:3, :3]
    torch.testing.assert_close(back, dataset(reader, frame="object")[0]["points"], atol=1e-5, rtol=0)


def test_a_mirror_flips_image_shape_and_camera_together(reader):
    plain, flipped = (dataset(reader, augment=Augment(mirror=p))[(0, 0)] for p in (0.0, 1.0))
    assert torch.equal(flipped["image"], plain["image"].flip(-1))
    for key in ("mask", "depth"):
        assert torch.equal(flipped[key], plain[key].flip(-1))
    assert torch.equal(flipped["normal"], plain["normal"].flip(-1) * torch.tensor([-1.0, 1, 1])[:, None, None])
    mirror = torch.from_numpy(MIRROR).float()
    torch.testing.assert_close(flipped["pose"], mirror @ plain["pose"] @ mirror)
    assert float(flipped["intrinsics"][0, 2]) == 64 - float(plain["intrinsics"][0, 2])


def test_randomness_is_a_function_of_seed_epoch_and_index(reader):
    one, two = dataset(reader), dataset(reader)
    assert torch.equal(one[(3, 5)]["image"], two[(3, 5)]["image"])
    assert not torch.equal(one[(3, 5)]["points"], one[(4, 5)]["points"])
    assert not torch.equal(dataset(reader, seed=1)[(3, 5)]["image"], one[(3, 5)]["image"])
    assert torch.equal(one[5]["image"], dataset(reader, seed=1)[5]["image"])  # evaluation does not know the seed


def online(reader, **options):
    settings = SynthesisSettings(image_size=64, points=3000)
    options = {"keys": KEYS, "points": 2000, "augment": STRONG} | options
    return OnlineViewDataset(reader, reader.index(), settings=settings, **options)


@pytest.mark.parametrize("frame", ["viewer", "object"])
def test_online_views_are_fresh_consistent_and_reproducible(reader, frame):
    data, again = online(reader, frame=frame), pickle.loads(pickle.dumps(online(reader, frame=frame)))
    for i in (0, 7, 13):
        assert hits(data[(0, i)]) > 0.995
        assert torch.equal(data[(0, i)]["image"], again[(0, i)]["image"])
        assert not torch.equal(data[(0, i)]["pose"], data[(1, i)]["pose"])
    assert torch.equal(data[3]["image"], dataset(reader, frame=frame)[3]["image"])  # evaluation sees stored views


def test_online_views_need_meshes(tmp_path):
    synthesize(GrammarSource(1, categories=["mug"]), tmp_path / "set", SynthesisSettings(views=1, points=10, workers=1))
    with pytest.raises(UserError, match="keep_meshes=true"):
        OnlineViewDataset(DatasetReader(tmp_path / "set"), [], points=10, settings=SynthesisSettings())


def test_evaluation_gives_the_first_points_and_spare_ones(reader):
    sample = dataset(reader, points=1000, spare=500, frame="object", keys=("points",))[0]
    stored = reader.point_array(sample["object"], "points", 0, 1500)
    np.testing.assert_allclose(sample["points"], stored[:1000], atol=1e-6)
    np.testing.assert_allclose(sample["spare_points"], stored[1000:], atol=1e-6)
    assert "mask" not in sample


def test_layout_and_types(reader):
    sample = dataset(reader)[(0, 1)]
    shapes = {k: (tuple(v.shape), v.dtype) for k, v in sample.items() if isinstance(v, torch.Tensor)}
    f, image = torch.float32, (64, 64)
    assert shapes == {
        "image": ((3, *image), f), "mask": ((1, *image), torch.bool), "depth": ((1, *image), f),
        "normal": ((3, *image), f), "intrinsics": ((3, 3), f), "pose": ((4, 4), f), "object_to_target": ((4, 4), f),
        "points": ((2000, 3), f), "point_normals": ((2000, 3), f), "point_parts": ((2000,), torch.int64),
    }  # fmt: skip
    assert (sample["category"], sample["view"]) == ("chair", 1)


def test_mistakes_are_refused(reader):
    with pytest.raises(UserError, match=r"data\.frame must be one of viewer or object"):
        dataset(reader, frame="world")
    with pytest.raises(UserError, match="stores 3000"):
        dataset(reader, points=3001)
    for bad in ({"mirror": 2.0}, {"shift": -1}, {"colour": 1.0}, {"background": "blue"},
                {"saturation": 1.5}, {"hue": 0.6}, {"grey": -0.1}, {"white": 2}, {"background": [0, 0, 2]},
                {"background": [0, 1]}, {"background": ["a", 0, 0]}, {"background": None}):  # fmt: skip
        with pytest.raises(UserError, match=r"data\.augment"):
            Augment(**bad)


def test_the_sampler_is_a_permutation_that_changes_with_the_epoch():
    sampler = EpochSampler(10, seed=0)
    first = list(sampler)
    sampler.set_epoch(1)
    second = list(sampler)
    assert sorted(i for _, i in first) == list(range(10))
    assert [i for _, i in first] != [i for _, i in second]
    assert {e for e, _ in second} == {1}


def test_pixel_operations():
    rgba = np.zeros((2, 2, 4), np.uint8)
    rgba[0, 0] = (255, 0, 0, 128)
    image = composite(rgba, np.ones(3, np.float32))
    np.testing.assert_allclose(image[0, 0], [1, 1 - 128 / 255, 1 - 128 / 255], atol=1e-6)
    np.testing.assert_allclose(image[1, 1], 1)
    grid = np.arange(9.0).reshape(3, 3)
    np.testing.assert_array_equal(shifted(grid, 1, -1, 9), [[9, 3, 4], [9, 6, 7], [9, 9, 9]])


# --- queries -------------------------------------------------------------------------------------------------------


QUERIES = ("points", "queries", "occupancy")


def back(sample):
    """Queries of a sample in the object frame."""
    turn = sample["object_to_target"]
    return (sample["queries"] - turn[:3, 3]) @ turn[:3, :3]


@pytest.mark.parametrize("frame", ["viewer", "object"])
def test_queries_turn_and_flip_with_the_points(reader, frame):
    """In every frame, mirrored or not, they mean the same place: inside is where the mesh is."""
    for mirror in (0.0, 1.0):
        data = dataset(reader, frame=frame, keys=QUERIES, augment=Augment(mirror=mirror), places=Places(500, near=0.5))
        sample = data[(0, 4)]
        q, name = back(sample).numpy(), sample["object"]
        if mirror:
            q = q * np.array([-1, 1, 1], np.float32)  # the whole object was flipped: undo it
        certain = inside_function(reader.mesh(name))[1](q) > 0.5
        assert np.mean(certain == (sample["occupancy"].numpy() > 0.5)) > 0.997  # within rounding of the surface
        assert 20 < certain.sum() < 480


def test_queries_are_a_function_of_seed_epoch_and_index(reader):
    one, two, other = (dataset(reader, keys=QUERIES, places=Places(64, 0.25, 0.25), seed=s) for s in (0, 0, 1))
    assert torch.equal(one[(3, 5)]["queries"], two[(3, 5)]["queries"])
    for sample in (one[(4, 5)], other[(3, 5)], one[(3, 6)]):
        assert not torch.equal(sample["queries"], one[(3, 5)]["queries"])
    first, _ = reader.queries(0, 0, 64)
    plain = dataset(reader, keys=QUERIES, places=Places(64, 0.25, 0.25), frame="object")[0]
    np.testing.assert_allclose(plain["queries"], first, atol=1e-6)  # evaluation: uniform ones, the first
    without = dataset(reader, keys=("points",))
    assert torch.equal(without[(3, 5)]["image"], one[(3, 5)]["image"])  # queries disturb nobody
    assert torch.equal(without[(3, 5)]["points"], one[(3, 5)]["points"])


def test_far_queries_are_empty_and_only_in_the_viewers_frame(reader):
    for frame, count in (("viewer", 32), ("object", 0)):
        sample = dataset(reader, keys=QUERIES, places=Places(64, far=0.5), frame=frame)[(0, 0)]
        away = back(sample).abs().amax(1) > 0.5501
        assert int(away.sum()) == count
        assert not sample["occupancy"][away].any()


def test_what_nobody_knows_is_said(reader, monkeypatch):
    assert dataset(reader, keys=QUERIES, places=Places(32))[1]["occupancy"].dtype == torch.float32
    monkeypatch.setattr(DatasetReader, "knows_inside", lambda self, name: False)
    assert dataset(reader, keys=QUERIES, places=Places(32))[1]["occupancy"].isnan().all()
    with pytest.raises(UserError, match=r"100001 queries, 0 of them near the surface, .* lower data.queries"):
        dataset(reader, keys=QUERIES, places=Places(100_001))
    with pytest.raises(UserError, match="8000 of them near the surface"):
        dataset(reader, keys=QUERIES, places=Places(8000, near=1.0))
    monkeypatch.setitem(reader.info["settings"], "queries", 0)
    with pytest.raises(UserError, match=r"was made without them: make it anew with .*overwrite=true"):
        dataset(reader, keys=QUERIES)
    with pytest.raises(UserError, match=r"data\.near and data\.far"):
        Places(10, near=0.6, far=0.6)
