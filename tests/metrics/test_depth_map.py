"""All scores of a depth map together: what a perfect one gets, what a rough one gets, and failures."""

import math
from dataclasses import dataclass, field

import pytest
import torch

from lit3d import ops
from lit3d.build import instantiate, plain
from lit3d.config import compose
from lit3d.metrics import DepthMetrics
from lit3d.metrics.point_sets import more_is_better
from lit3d.structures import Structure
from tests.ops.surfaces import camera, sphere


@dataclass(frozen=True)
class Map(Structure):
    """A depth map whose surface is its valid pixels, evenly chosen."""

    depth: torch.Tensor
    mask: torch.Tensor
    intrinsics: torch.Tensor
    normal: torch.Tensor | None = field(default=None, kw_only=True)
    mask_logits: torch.Tensor | None = field(default=None, kw_only=True)

    def surface(self, n, generator=None):
        points = ops.unproject(self.depth, self.intrinsics).flatten(2).transpose(1, 2)
        chosen = [p[m][torch.linspace(0, int(m.sum()) - 1, n).long()] if m.any() else p[:1].expand(n, -1) * math.nan
                  for p, m in zip(points, self.mask.flatten(1), strict=True)]  # fmt: skip
        return torch.stack(chosen) - torch.tensor([0.0, 0.0, 1.4]), None


def batch(b=2):
    k = camera().expand(b, 3, 3)
    depth, normal, _ = sphere(k)
    pose = torch.eye(4).expand(b, 4, 4).clone()
    pose[:, 2, 3] = 1.4
    whole = torch.nn.functional.normalize(torch.randn(b, 2000, 3, generator=torch.Generator().manual_seed(0)), dim=-1)
    mask = depth > 0
    return {"depth": depth.float(), "mask": mask, "normal": torch.where(mask, normal, 0.0).float(),
            "intrinsics": k.float(), "pose": pose, "points": whole / 2}  # fmt: skip


def prediction(given, depth=None, **more):
    return Map(given["depth"] if depth is None else depth, given["mask"], given["intrinsics"], **more)


def test_the_true_depth_is_perfect_where_it_sees_and_blind_elsewhere():
    given = batch()
    logits = torch.where(given["mask"], 3.0, -3.0)
    got = DepthMetrics(points=500)(prediction(given, normal=given["normal"], mask_logits=logits), given, final=True)
    found = {name: float(values.mean()) for name, values in got.items()}
    for name in ("abs_rel", "rmse", "silog", "abs_rel_median", "abs_rel_scale", "depth_mae_scale_shift", "normal_angle",
                 "normal_angle_with_edges", "flying_pixels", "flying_pixels_median", "failure"):  # fmt: skip
        assert found[name] == pytest.approx(0, abs=0.05 if "angle" in name else 1e-5), name
    for name in ("delta1", "delta1_median", "mask_iou", "boundary_f1", "depth_normal_11deg", "normal_30deg"):
        assert found[name] == 1, name
    assert found["depth_normal_angle"] < 1  # the sphere is round and its pixels are not
    assert found["depth_normal_angle"] < found["depth_normal_angle_with_edges"] < 5
    assert found["accuracy_l1"] < 0.03 < 0.15 < found["completeness_l1"]
    assert found["chamfer_l1"] == pytest.approx((found["accuracy_l1"] + found["completeness_l1"]) / 2, rel=1e-5)
    assert found["visible_chamfer_l1"] < 0.02
    assert 0.2 < found["recall_5pct"] < 0.6 < found["precision_5pct"]


def test_a_wrong_distance_flies_unless_it_is_scaled_away():
    given = batch()
    got = DepthMetrics(points=200, emd=False)(prediction(given, given["depth"] * 1.2), given, final=True)
    assert float(got["flying_pixels"].min()) > 0.95
    assert float(got["flying_pixels_median"].max()) == 0


def test_validation_scores_less():
    given = batch()
    got = DepthMetrics(points=200)(prediction(given), given, final=False)
    assert "flying_pixels" not in got
    assert {"abs_rel", "abs_rel_median", "depth_mae", "depth_normal_angle", "failure", "chamfer_l1"} <= set(got)
    assert "normal_angle" not in got
    assert "mask_iou" not in got


def test_a_rough_map_does_not_lose_its_wrong_pixels():
    given = batch()
    noise = torch.rand(given["depth"].shape, generator=torch.Generator().manual_seed(1)) > 0.5
    rough = given["depth"] * (1 + 0.2 * noise)  # edges everywhere
    got = DepthMetrics(points=200, emd=False)(prediction(given, rough), given, final=True)
    assert float(got["depth_normal_angle"].min()) > 40
    assert float(got["depth_normal_11deg"].max()) < 0.3
    assert float(got["boundary_f1"].max()) < 0.1
    assert float(got["flying_pixels"].min()) > 0.3


def test_forward_differences_see_stripes_that_the_window_cancels():
    given = batch()
    striped = given["depth"] * (1 + 0.02 * (torch.arange(64) % 2))
    for depth, forward in ((striped, (25, 90)), (given["depth"], (0, 3))):
        got = DepthMetrics(points=200, emd=False)(prediction(given, depth), given, final=False)
        assert float(got["depth_normal_angle"].max()) < 3
        assert forward[0] < float(got["depth_normal_angle_forward"].mean()) < forward[1]


def test_a_thin_object_is_scored_by_the_pixels_that_it_has():
    given = batch(1)
    given["mask"] = given["mask"] & (torch.arange(64) // 2 == 16)  # two columns
    got = DepthMetrics(points=50, emd=False)(prediction(given), given, final=True)
    assert float(got["failure"]) == 0
    assert float(got["depth_normal_angle"]) == float(got["depth_normal_angle_with_edges"]) < 5
    assert float(got["depth_normal_angle_forward"]) < 5


def test_failures_are_counted_and_get_the_worst():
    given = batch(4)
    depth = given["depth"].clone()
    depth[1] = math.nan
    given["mask"] = given["mask"].clone()
    given["mask"][2] = False  # an image without truth
    given["depth"][3] = -1.0  # nor any valid pixel here
    got = DepthMetrics(points=100, emd=False)(prediction(given, depth, normal=given["normal"]), given, final=True)
    assert got["failure"].tolist() == [0, 1, 1, 1]
    for name, values in got.items():
        assert values.isfinite().all(), name
        assert values.shape == (4,)
    for i in (1, 2, 3):
        assert float(got["abs_rel"][i]) == 1
        assert float(got["depth_normal_angle"][i]) == float(got["normal_angle"][i]) == 90
        assert float(got["delta1"][i]) == float(got["boundary_f1"][i]) == float(got["depth_normal_30deg"][i]) == 0
        assert float(got["flying_pixels"][i]) == float(got["flying_pixels_median"][i]) == 1
        assert float(got["visible_chamfer_l1"][i]) == pytest.approx(math.sqrt(3))
    alone = {k: v[:1] for k, v in given.items()}
    one = DepthMetrics(points=100, emd=False)(prediction(alone, normal=alone["normal"]), alone, final=True)
    for name, values in one.items():
        torch.testing.assert_close(got[name][:1], values)


def test_a_sensor_has_neither_normals_nor_a_whole_object():
    given = {k: v for k, v in batch().items() if k not in ("normal", "points", "pose")}
    got = DepthMetrics()(prediction(given, 1.05 * given["depth"]), given, final=True)
    assert float(got["depth_normal_angle"].max()) < 1e-2  # a scale leaves directions alone
    assert float(got["abs_rel"].mean()) == pytest.approx(0.05, rel=1e-4)
    assert got["failure"].tolist() == [0, 0]
    assert "chamfer_l1" not in got


def test_which_names_are_better_when_greater():
    given = batch(1)
    logits = torch.zeros_like(given["depth"])
    got = DepthMetrics(points=100)(prediction(given, normal=given["normal"], mask_logits=logits), given, final=True)
    greater = {n for n in got if more_is_better(n)}
    assert {n for n in greater if "pct" not in n} == {
        "delta1", "delta2", "delta3", "delta1_median", "delta1_scale", "delta1_scale_shift", "mask_iou", "boundary_f1",
        "depth_normal_11deg", "depth_normal_22deg", "depth_normal_30deg", "normal_11deg", "normal_22deg",
        "normal_30deg",
    }  # fmt: skip


def test_the_config_builds_it_with_the_options_of_set_scores():
    cfg = plain(compose("run", ["metrics=depth", "metrics.points=77", "metrics.jump=0.1", "paths.output=x"]))
    built = instantiate(cfg["metrics"])
    assert isinstance(built, DepthMetrics)
    assert (built.points, built.jump, built.radius) == (77, 0.1, 0.05)
    assert set(built.extra) == {"accuracy_l1", "completeness_l1"}
