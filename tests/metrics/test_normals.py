"""Normal consistency on shapes whose answer is known, against a naive loop, and on hostile sets."""

import math
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from torch.nn.functional import normalize

from lit3d import metrics
from lit3d.structures import PointSet, Structure


def cloud(b, n, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(b, n, 3, generator=generator), torch.randn(b, n, 3, generator=generator)


def sphere(n, seed):
    points = normalize(torch.randn(1, n, 3, generator=torch.Generator().manual_seed(seed)), dim=-1)
    return points / 2, points


def by_loop(x, u, y, v):
    def one_way(a, ours, b, theirs):
        total = 0.0
        for point, normal in zip(a, ours, strict=True):
            j = int(((b - point) ** 2).sum(1).argmin())
            total += abs(float(torch.cosine_similarity(normal, theirs[j], dim=0)))
        return total / len(a)

    return (one_way(x, u, y, v) + one_way(y, v, x, u)) / 2


def test_it_agrees_with_a_naive_loop_whatever_the_lengths_of_normals():
    (x, u), (y, v) = cloud(3, 40, 0), cloud(3, 55, 1)
    found = metrics.normal_consistency(x, u, y, v)
    assert found.tolist() == pytest.approx([by_loop(x[i], u[i], y[i], v[i]) for i in range(3)], abs=1e-6)


@pytest.mark.parametrize("degrees", [0, 30, 60, 90, 150])
def test_a_plane_with_turned_normals_has_the_cosine(degrees):
    points = torch.rand(1, 200, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 1.0, 0.0])
    up = torch.tensor([0.0, 0.0, 1.0]).expand(1, 200, 3)
    angle = math.radians(degrees)
    turned = torch.tensor([math.sin(angle), 0.0, math.cos(angle)]).expand(1, 200, 3)
    found = float(metrics.normal_consistency(points, turned, points, up))
    assert found == pytest.approx(abs(math.cos(angle)), abs=1e-6)


def test_a_sphere_agrees_with_its_turned_and_its_inverted_self():
    (x, u), (y, v) = sphere(4000, 0), sphere(4000, 1)
    turn = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(2)))[0]
    assert float(metrics.normal_consistency(x @ turn, u @ turn, y, v)) > 0.998
    assert float(metrics.normal_consistency(x, -u, y, v)) == float(metrics.normal_consistency(x, u, y, v))


def test_random_normals_score_one_half():
    (x, u), (y, v) = cloud(1, 4000, 0), cloud(1, 4000, 1)
    assert float(metrics.normal_consistency(x, u, y, v)) == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("kind", ["nan", "inf", "empty"])
def test_a_failure_scores_nothing(kind):
    (x, u), (y, v) = sphere(50, 0), sphere(60, 1)
    x, u = (x[:, :0], u[:, :0]) if kind == "empty" else (x.clone(), u)
    if kind != "empty":
        x[0, 7, 1] = float(kind)
    scores = metrics.score_points(x, y, normals=(u, v))
    assert (float(scores["normal_consistency"]), float(scores["failure"])) == (0, 1)
    both = metrics.score_protocols(x, y, ["occnet", "meshrcnn"], normals=(u, v))
    assert float(both["occnet/normal_consistency"]) == float(both["meshrcnn/normal_consistency"]) == 0


def test_normals_that_are_zero_or_not_finite_agree_with_nothing():
    x, u = sphere(100, 0)
    u = u.clone()
    u[0, :25], u[0, 25:50] = 0, float("nan")
    assert float(metrics.normal_consistency(x, u, x, sphere(100, 0)[1])) == pytest.approx(0.5)


def test_one_point_each():
    x, up = torch.zeros(1, 1, 3), torch.tensor([[[0.0, 0, 2]]])
    assert float(metrics.normal_consistency(x, up, x + 1, torch.tensor([[[0.0, 3, 3]]]))) == pytest.approx(0.5**0.5)


@dataclass(frozen=True)
class Oriented(Structure):
    """A structure with normals: the contract that meshes will keep."""

    points: torch.Tensor
    normals: torch.Tensor
    has_normals: ClassVar[bool] = True

    def surface(self, n, generator=None):
        return self.points[:, :n], self.normals[:, :n]


def test_only_structures_with_normals_get_the_score_under_both_names():
    (x, u), (y, v) = sphere(64, 0), sphere(128, 1)
    score = metrics.SetMetrics(points=64, emd=False, protocols=["occnet", "meshrcnn"])
    found = score(Oriented(x, u), {"points": y, "point_normals": v}, final=True)
    expected = float(metrics.normal_consistency(x, u, y, v))
    names = ["normal_consistency", "occnet/normal_consistency", "meshrcnn/normal_consistency"]
    assert [float(found[name]) for name in names] == pytest.approx([expected] * 3)
    without = score(PointSet(x), {"points": y}, final=True)  # true normals are not asked for
    assert not [name for name in without if "normal" in name]
    assert "normal_consistency" not in score(Oriented(x, u), {"points": y}, final=False)
