import types

import numpy as np
import pytest
import torch

from lit3d.metrics import DepthMetrics
from lit3d.modules import DepthModule
from lit3d.modules.depth import medians
from lit3d.networks import DepthNet, SmallEncoder


@pytest.fixture
def module():
    network = DepthNet(SmallEncoder(channels=(8, 12), code=0), nominal=3.0)
    return DepthModule(network, (), DepthMetrics(points=64, emd=False), torch.optim.SGD)


@pytest.fixture
def batch():
    torch.manual_seed(0)
    depth, mask = torch.rand(3, 1, 32, 32) + 1.5, torch.rand(3, 1, 32, 32) < 0.3
    depth[~mask] = 0
    intrinsics, pose = torch.eye(3).expand(3, 3, 3).clone(), torch.eye(4).expand(3, 4, 4).clone()
    intrinsics[:, 0, 0] = intrinsics[:, 1, 1] = 35
    intrinsics[:, :2, 2], pose[:, 2, 3] = 16, 2
    return {"image": torch.rand(3, 3, 32, 32), "depth": depth, "mask": mask, "intrinsics": intrinsics, "pose": pose,
            "normal": torch.tensor([0, 0, -1.0]).reshape(1, 3, 1, 1).expand(3, 3, 32, 32),
            "points": torch.rand(3, 100, 3) - 0.5}  # fmt: skip


def test_rows_say_what_they_are(module, batch):
    module.typical += torch.tensor([2.2, 1.0])
    rows = module.rows(batch)
    assert list(rows) == ["constant_depth", "median_plane", "facing_camera", "true_visible_surface"]
    assert float(rows["constant_depth"].depth.min()) == float(rows["constant_depth"].depth.max()) == pytest.approx(2.2)
    for i, (z, k) in enumerate(zip(batch["depth"].numpy(), batch["mask"].numpy(), strict=True)):
        assert rows["median_plane"].depth[i].unique().item() == pytest.approx(np.median(z[k]), abs=2e-2)
    sphere = rows["facing_camera"]
    pixels = (torch.stack(torch.meshgrid(*[torch.arange(32.0)] * 2, indexing="xy")) + 0.5 - 16) / 35
    ray = torch.cat([pixels, torch.ones(1, 32, 32)])
    torch.testing.assert_close(sphere.depth[0] * ray.norm(dim=0), rows["median_plane"].depth[0])
    torch.testing.assert_close(sphere.normal[0], -ray / ray.norm(dim=0))
    assert torch.equal(rows["true_visible_surface"].depth, batch["depth"])


def test_the_truth_as_a_prediction_has_no_error(module, batch):
    scores = module.metrics(module.rows(batch)["true_visible_surface"], batch, final=True)
    assert float(scores["abs_rel"].max()) == 0
    assert float(scores["failure"].max()) == 0


def test_an_image_without_depth_is_a_failure_and_not_an_error(module, batch):
    batch["depth"][1] = 0
    for row in module.rows(batch).values():
        assert module.metrics(row, batch, final=True)["failure"].tolist() == [0, 1, 0]


def test_medians_are_of_the_mask():
    depth = torch.tensor([[5.0, 1, 9, 7], [1, 2, 3, 4]]).reshape(2, 1, 2, 2)
    mask = torch.tensor([[True, False, True, True], [False] * 4]).reshape(2, 1, 2, 2)
    assert medians(depth, mask).tolist() == [7, 0]


def test_without_depth_there_are_no_rows(module):
    assert module.rows({"image": torch.rand(1, 3, 8, 8)}) == {}


def test_it_begins_at_the_distance_of_the_training_cameras(module):
    module.config = {"camera": {"distance": 2.5}}
    module._trainer = types.SimpleNamespace(ckpt_path="last.ckpt")
    module.on_fit_start()
    assert float(module.network.nominal) == 3.0  # resumed: it has its own
    module._trainer = types.SimpleNamespace(ckpt_path=None)
    module.on_fit_start()
    assert float(module.network.nominal) == 2.5
    assert float(module.state_dict()["network.nominal"]) == 2.5
