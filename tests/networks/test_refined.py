import pytest
import torch

from lit3d.networks.encoders import Features
from lit3d.networks.pooling import perceptual_pooling, seen_by
from lit3d.networks.refined import RefinedHead


def bilinear(image, x, y):
    """The value of a map (c, h, w) at (x, y) in [-1, 1], pixel by pixel."""
    h, w = image.shape[1:]
    column = min(max((x + 1) / 2 * w - 0.5, 0), w - 1)
    row = min(max((y + 1) / 2 * h - 0.5, 0), h - 1)
    left, top = int(column), int(row)
    right, bottom = min(left + 1, w - 1), min(top + 1, h - 1)
    a, b = column - left, row - top
    upper = image[:, top, left] * (1 - a) + image[:, top, right] * a
    lower = image[:, bottom, left] * (1 - a) + image[:, bottom, right] * a
    return upper * (1 - b) + lower * b


def test_pooling_is_bilinear_at_every_place_and_from_every_map():
    g = torch.Generator().manual_seed(0)
    maps = [torch.rand(2, 3, 8, 12, generator=g), torch.rand(2, 5, 4, 3, generator=g)]
    where = torch.rand(2, 40, 2, generator=g) * 2.6 - 1.3  # some outside
    where[:, 0], where[:, 1], where[:, 2] = -1.0, 1.0, torch.tensor([1.0, -1.0])
    where[:, 3] = torch.tensor([-1 + 7 / 12, -1 + 5 / 8])  # exactly a pixel centre of the first map
    pooled = perceptual_pooling(maps, where)
    assert pooled.shape == (2, 40, 8)
    for b in range(2):
        for i in range(40):
            expected = torch.cat([bilinear(m[b], *where[b, i].tolist()) for m in maps])
            torch.testing.assert_close(pooled[b, i], expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(pooled[:, 3, :3], maps[0][:, :, 2, 3])


def test_the_gradient_of_pooling_in_the_place_is_the_slope_of_the_map():
    ramp = torch.arange(8.0).expand(1, 1, 8, 8).contiguous()  # grows by 1 a pixel to the right: 4 a unit of x
    where = torch.tensor([[[0.1, 0.3]]], requires_grad=True)
    perceptual_pooling([ramp], where).sum().backward()
    torch.testing.assert_close(where.grad, torch.tensor([[[4.0, 0.0]]]))


@pytest.fixture
def head():
    torch.manual_seed(0)
    return RefinedHead(20, 6, (4, 8), hidden=(8,), channels=8)


def test_the_camera_begins_as_the_viewers(head):
    points = torch.rand(2, 5, 3) - 0.5
    torch.testing.assert_close(seen_by(head.camera_of(torch.rand(2, 6)), points), points[..., :2])


def test_a_point_is_moved_by_the_picture_where_it_is_seen_and_by_nothing_else(head):
    code, still = torch.rand(1, 6), torch.zeros(1, 8, 8, 8)
    image = torch.zeros(1, 4, 16, 16)
    before = head(Features(code, [image, still]))
    first = head.first(Features(code, []))
    places = seen_by(head.camera_of(code), first)[0]
    column, row = (((places[7] + 1) / 2 * 16 - 0.5).floor().long()).tolist()
    image[:, :, row : row + 2, column : column + 2] = 5.0
    moved = (head(Features(code, [image, still])) - before).norm(dim=2)[0] > 1e-7
    near = ((places - places[7]).abs() < 2 * 2 / 16).all(1)
    assert moved[7]
    assert not moved[~near].any()


def test_fewer_maps_than_it_would_read():
    head = RefinedHead(9, 6, (4,), hidden=(8,), maps=3)
    assert head(Features(torch.rand(2, 6), [torch.rand(2, 4, 7, 5)])).shape == (2, 9, 3)
