import pytest
import torch

from lit3d.errors import UserError
from lit3d.networks.camera import NEAR, NominalCamera, camera_vector, code_size, encode, reads_with, seen_at
from lit3d.networks.depth import DepthNet
from lit3d.networks.encoders import SmallEncoder
from lit3d.networks.heads import FullyConnectedHead
from lit3d.networks.mesh_deform import MeshDeformNet
from lit3d.networks.pointset import PointSetNet
from lit3d.networks.pooling import perceptual_pooling
from lit3d.networks.templates import sphere

LENS = torch.tensor([[[70.0, 0, 32], [0, 70, 32], [0, 0, 1]]])


def pose(distance=2.0):
    matrix = torch.eye(4)[None].clone()
    matrix[0, 2, 3] = distance
    return matrix


def placed(column, row, distance=2.0, size=64):
    """A point that is seen at a pixel position (0 is the left, top edge of the image)."""
    return torch.tensor([[[(column - 32) / 70 * distance, (row - 32) / 70 * distance, 0.0]]])


@pytest.mark.parametrize(
    ("column", "row", "x", "y"), [(32, 32, 0, 0), (0, 0, -1, -1), (64, 64, 1, 1), (16, 48, -0.5, 0.5)]
)
def test_edges_of_the_image_are_at_one(column, row, x, y):
    where = seen_at(placed(column, row), LENS, pose(), (64, 64))
    torch.testing.assert_close(where, torch.tensor([[[x, y]]], dtype=torch.float32), atol=1e-5, rtol=0)


def test_an_oblong_image_has_its_edges_at_one_as_well():
    lens = torch.tensor([[[70.0, 0, 48], [0, 70, 32], [0, 0, 1]]])
    corner = torch.tensor([[[48 / 70 * 2, 32 / 70 * 2, 0.0]]])
    torch.testing.assert_close(seen_at(corner, lens, pose(), (64, 96)), torch.ones(1, 1, 2))


def test_vertices_at_pixel_centres_and_integer_coordinates_pool_what_is_there():
    """The published code gave zero at integer coordinates of a map; here a centre gives the pixel, an edge the mean."""
    image = torch.rand(1, 3, 64, 64)
    centre = perceptual_pooling([image], seen_at(placed(10.5, 20.5), LENS, pose(), (64, 64)))[0, 0]
    torch.testing.assert_close(centre, image[0, :, 20, 10], atol=1e-4, rtol=0)
    whole = perceptual_pooling([image], seen_at(placed(10, 20), LENS, pose(), (64, 64)))[0, 0]
    torch.testing.assert_close(whole, image[0, :, 19:21, 9:11].mean((1, 2)), atol=1e-4, rtol=0)
    for column, row, pixel in ((0, 0, (0, 0)), (64, 64, (63, 63)), (0, 64, (63, 0)), (90, 5.5, (5, 63))):
        border = perceptual_pooling([image], seen_at(placed(column, row), LENS, pose(), (64, 64)))[0, 0]
        torch.testing.assert_close(border, image[0, :, pixel[0], pixel[1]], atol=1e-4, rtol=0)


@pytest.mark.parametrize("z", [-2.0, -2.01, -5.0, -1e6, -1.99])  # in the camera's plane, behind it, far, very near
def test_a_point_behind_the_camera_is_pooled_safely_and_without_gradient(z):
    points = torch.tensor([[[0.3, -0.2, z], [0.0, 0.0, z]]], requires_grad=True)
    where = seen_at(points, LENS, pose(), (64, 64))
    pooled = perceptual_pooling([torch.rand(1, 2, 8, 8)], where)
    pooled.sum().backward()
    assert where.isfinite().all()
    assert float(where.detach().abs().max()) <= 2
    assert pooled.isfinite().all()
    assert points.grad.isfinite().all()
    assert not points.grad[..., 2].any()


def test_a_point_outside_the_image_pools_the_border_and_has_no_gradient():
    points = torch.tensor([[[3.0, 0.0, 0.0], [0.0, 50.0, 0.0]]], requires_grad=True)
    pooled = perceptual_pooling([torch.rand(1, 2, 8, 8)], seen_at(points, LENS, pose(), (64, 64)))
    pooled.sum().backward()
    assert pooled.isfinite().all()
    assert not points.grad[0, 0, 0]
    assert not points.grad[0, 1, 1]


def test_gradients_of_the_projection():
    points = (torch.rand(2, 4, 3, dtype=torch.float64) - 0.5).requires_grad_()
    lens, turned = LENS.expand(2, -1, -1), pose().repeat(2, 1, 1)
    turned[1, :3, :3] = torch.linalg.qr(torch.rand(3, 3))[0]
    where = seen_at(points, lens, turned, (64, 64))
    camera = points @ turned[:, :3, :3].double().mT + turned[:, None, :3, 3]
    expected = 2 * (70 * camera[..., :2] / camera[..., 2:] + 32) / 64 - 1
    torch.testing.assert_close(where.double(), expected, atol=1e-5, rtol=0)
    ours, theirs = (torch.autograd.grad(w.sum(), points, retain_graph=True)[0] for w in (where, expected))
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def test_float32_under_autocast():
    with torch.autocast("cpu", torch.bfloat16):
        where = seen_at(placed(10.5, 20.5), LENS, pose(), (64, 64))
    torch.testing.assert_close((where + 1) * 32, torch.tensor([[[10.5, 20.5]]]), atol=1e-4, rtol=0)


# --- the assumed camera ---------------------------------------------------------------------------------------------


def nominal(**changes):
    return {"intrinsics": LENS[0].tolist(), "pose": pose(1.7)[0].tolist(), "distance": 1.7} | changes


def test_the_assumed_camera_travels_with_the_weights():
    first, second = NominalCamera(64), NominalCamera(64)
    first.use(nominal(distance=1.9))
    second.load_state_dict(first.state_dict())
    lens, matrix = second(3)
    assert lens.shape == (3, 3, 3)
    torch.testing.assert_close(lens[1], LENS[0])
    assert float(matrix[2, 2, 3]) == pytest.approx(1.9)


def test_before_training_it_is_a_camera_that_sees_the_whole_object():
    lens, matrix = NominalCamera(64)(1)
    box = torch.tensor([[[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)]])
    assert float(seen_at(box, lens, matrix, (64, 64)).abs().max()) < 1
    assert float(matrix[0, 2, 3]) - 0.87 > NEAR


@pytest.mark.parametrize("key", ["intrinsics", "pose", "distance"])
def test_a_dataset_without_a_camera_is_refused(key):
    with pytest.raises(UserError, match=f"has no {key}.*model=pointset"):
        NominalCamera(64).use(nominal(**{key: None}))


# --- the known camera -----------------------------------------------------------------------------------------------


def batch():
    return {"image": torch.rand(2, 3, 16, 16), "intrinsics": LENS.repeat(2, 1, 1), "pose": pose().repeat(2, 1, 1)}


def test_a_known_camera_is_appended_to_the_code():
    encoder = SmallEncoder(channels=(4, 8), code=6, image_size=16).eval()
    given = batch()
    plain, known = (encode(encoder, given, camera) for camera in ("nominal", "known"))
    assert plain.code.shape == (2, code_size(encoder, "nominal")) == (2, 6)
    assert known.code.shape == (2, code_size(encoder, "known"))
    torch.testing.assert_close(known.code[:, :6], plain.code)
    torch.testing.assert_close(known.code[:, 6:], camera_vector(given["intrinsics"], given["pose"], (16, 16)))


def test_the_vector_tells_every_camera_from_every_other():
    base = camera_vector(LENS, pose(), (64, 64))
    torch.testing.assert_close(base[0, :4], torch.tensor([70 / 64, 70 / 64, 0.0, 0.0]))
    torch.testing.assert_close(camera_vector(LENS * torch.tensor([[2.0], [2], [1]]), pose(), (128, 128)), base)
    turned = pose()
    turned[0, :3, :3] = torch.linalg.qr(torch.rand(3, 3))[0]
    for other in (camera_vector(LENS, pose(1.5), (64, 64)), camera_vector(LENS, turned, (64, 64))):
        assert float((other - base).abs().max()) > 0.01


def test_what_is_known_must_be_there():
    assert reads_with("known") == ("image", "intrinsics", "pose")
    encoder = SmallEncoder(channels=(4, 8), code=6, image_size=16)
    with pytest.raises(UserError, match=r"has no intrinsics and no pose: set data\.camera=nominal"):
        encode(encoder, {"image": torch.rand(1, 3, 16, 16)}, "known")
    with pytest.raises(UserError, match=r"data\.camera must be one of nominal or known, got 'true'"):
        reads_with("true")


@pytest.mark.parametrize("name", ["pointset", "pointset with several answers", "mesh_deform", "depth"])
def test_every_network_gets_the_camera_through_its_code_and_only_if_known(name):
    def network(camera):
        torch.manual_seed(0)
        encoder = SmallEncoder(channels=(4, 8, 8, 8, 8), code=6, image_size=32)
        if name == "depth":
            return DepthNet(encoder, finest=4, camera=camera).eval()
        if name == "mesh_deform":
            return MeshDeformNet(encoder, sphere(0), image_size=32, blocks=1, width=4, camera=camera).eval()
        return PointSetNet(encoder, FullyConnectedHead, 5, noise=2 * (name != "pointset"), camera=camera).eval()

    def predicted(network, given):
        structure = network(given)
        return (structure.depth if name == "depth" else structure.points).detach()

    near = {"image": torch.rand(2, 3, 32, 32), "intrinsics": LENS.repeat(2, 1, 1), "pose": pose(1.5).repeat(2, 1, 1)}
    far = near | {"pose": pose(3.0).repeat(2, 1, 1)}
    known, nominal = network("known"), network("nominal")
    assert set(known.reads) == {"image", "intrinsics", "pose"}
    assert nominal.reads == ("image",)
    assert (predicted(known, near) != predicted(known, far)).any()
    torch.testing.assert_close(predicted(nominal, near), predicted(nominal, far), atol=0, rtol=0)
    with pytest.raises(UserError, match=r"set data\.camera=nominal"):
        known({"image": near["image"]})
