import pytest
import torch

from lit3d.errors import UserError
from lit3d.structures import PointSet


def test_smoke():
    cloud = PointSet(torch.rand(2, 10, 3, requires_grad=True))
    assert cloud.detach().points.requires_grad is False
    assert cloud.to(torch.bfloat16).float().points.dtype == torch.float32
    assert cloud.to(torch.float64).points.dtype == torch.float64
    assert cloud.select(1).points.shape == (1, 10, 3)
    assert cloud.to_trimesh(1).vertices.shape == (10, 3)


def test_a_set_gives_its_own_points_or_a_subset_of_them():
    cloud = PointSet(torch.rand(2, 10, 3))
    points, normals = cloud.surface(10)
    assert points is cloud.points
    assert normals is None
    few = cloud.surface(4)[0]
    assert few.shape == (2, 4, 3)
    assert float(torch.cdist(few, cloud.points).min(2).values.max()) == 0


def test_a_set_is_never_repeated():
    with pytest.raises(UserError, match="cannot give 11"):
        PointSet(torch.rand(1, 10, 3)).surface(11)
