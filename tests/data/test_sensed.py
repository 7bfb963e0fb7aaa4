"""`data.sensor`: training meets the sensor's depth and holes, evaluation the exact truth."""

import numpy as np
import pytest
import torch

from lit3d.data import Augment, DatasetReader, ShapeDataModule, ViewDataset
from lit3d.data.normals import normals_of
from lit3d.data.online import OnlineViewDataset
from lit3d.errors import UserError
from lit3d.synthesis import GrammarSource, Sensor, SynthesisSettings, synthesize
from lit3d.synthesis.sensor import PRESETS

KEYS = ("depth", "mask", "normal", "points")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "set"
    settings = SynthesisSettings(views=2, points=200, workers=1, keep_meshes=True)
    synthesize(GrammarSource(5, categories=["chair"]), folder, settings)
    return folder


def dataset(root, keys=KEYS, sensor=PRESETS["kinect"], **options):
    reader = DatasetReader(root)
    options = {"points": 100, "augment": Augment()} | options
    return ViewDataset(reader, reader.index(), keys, sensor=sensor, **options)


def test_training_sees_noise_and_holes_and_evaluation_the_truth(root):
    noisy, exact = dataset(root), dataset(root, sensor=None)
    for i in range(len(exact)):
        assert all(torch.equal(noisy[i][k], exact[i][k]) for k in (*KEYS, "image"))
        sample, truth = noisy[(0, i)], exact[(0, i)]
        assert set(sample) == set(truth)
        assert torch.equal(sample["image"], truth["image"])  # the sensor is drawn last: nothing else changes
        assert torch.equal(sample["points"], truth["points"])
        mask = sample["mask"]
        assert torch.equal(mask, sample["depth"] > 0)
        assert 0.3 < float(mask.sum() / truth["mask"].sum()) < 1
        both = mask & truth["mask"]
        error = (sample["depth"] - truth["depth"])[both].abs()
        assert 1e-4 < float(error.median()) < 0.02
        expected = normals_of(sample["depth"][0].numpy(), sample["intrinsics"].numpy())
        np.testing.assert_array_equal(sample["normal"].numpy(), expected.transpose(2, 0, 1))


def test_noise_is_a_function_of_seed_epoch_and_index(root):
    one, two = dataset(root), dataset(root)
    assert torch.equal(one[(2, 3)]["depth"], two[(2, 3)]["depth"])
    assert not torch.equal(one[(2, 3)]["depth"], one[(3, 3)]["depth"])
    assert not torch.equal(one[(2, 3)]["depth"], dataset(root, seed=1)[(2, 3)]["depth"])


def test_the_second_eye_is_on_the_right_of_a_mirrored_picture_too(root):
    shadows = Sensor(focal=100, baseline=0.3)  # nothing but shadows
    plain, mirrored = (dataset(root, sensor=shadows, augment=Augment(mirror=p)) for p in (0.0, 1.0))
    exact = dataset(root, sensor=None)
    different = 0
    for i in range(len(plain)):
        a, b, truth = plain[(0, i)]["mask"], mirrored[(0, i)]["mask"].flip(-1), exact[i]["mask"]
        assert not (a & ~truth).any()
        different += int((a != b).sum())
    assert different > 50  # the flipped picture is not the flip of the picture


def test_keys_and_online_views(root):
    sample = dataset(root, keys=("depth",))[(0, 0)]
    assert "depth" in sample
    assert "normal" not in sample
    assert "mask" not in sample
    assert "depth" not in dataset(root, keys=("points",))[(0, 0)]
    reader = DatasetReader(root)
    options = {"points": 100, "settings": SynthesisSettings(points=200)}
    options |= {"reader": reader, "rows": reader.index(), "keys": KEYS}
    online, exact = (OnlineViewDataset(sensor=s, **options) for s in (PRESETS["tof"], None))
    seen, truth = online[(0, 0)], exact[(0, 0)]
    both = seen["mask"] & truth["mask"]
    assert both.any()
    assert float((seen["depth"] - truth["depth"])[both].abs().max()) > 0


def test_a_sensor_that_nothing_would_notice_is_refused(root):
    data = ShapeDataModule("set", root, test_points=150, points=100, sensor="kinect")
    with pytest.raises(UserError, match="data.sensor changes mask, depth, normal, but this model"):
        data.train_dataloader()
    data.need(["depth"])
    assert next(iter(data.train_dataloader()))["depth"].shape[1:] == (1, 64, 64)
    with pytest.raises(UserError, match="there is no depth sensor 'lidar'"):
        ShapeDataModule("set", root, sensor="lidar")
    with pytest.raises(UserError, match="sensor_metres"):
        ShapeDataModule("set", root, sensor="tof", sensor_metres=0)
