import time

import numpy as np
import pytest
import torch
import trimesh
from scipy.spatial.transform import Rotation

from lit3d.errors import UserError
from lit3d.ops.meshing import grid_faces
from lit3d.structures import DepthMap
from lit3d.structures.depth_map import systematic

K = np.array([[70.0, 0, 32], [0, 70, 32], [0, 0, 1]])


def rays(intrinsics=K, h=64, w=64):
    """(h, w, 3), without the project's own."""
    v, u = np.mgrid[0:h, 0:w] + 0.5
    return np.stack([u, v, np.ones_like(u)], -1) @ np.linalg.inv(intrinsics).T


def pose_at(distance, rotation=None):
    pose = np.eye(4)
    pose[2, 3] = distance
    if rotation is not None:
        pose[:3, :3] = rotation
    return pose


def depth_map(depth, mask=None, intrinsics=K, pose=None, **further):
    mask = np.isfinite(depth) & (depth > 0) if mask is None else mask
    kind = {"dtype": torch.float32}
    return DepthMap(
        torch.tensor(depth, **kind)[None, None], torch.tensor(mask)[None, None],
        intrinsics=torch.tensor(intrinsics, **kind)[None],
        pose=torch.tensor(pose_at(2) if pose is None else pose, **kind)[None], **further,
    )  # fmt: skip


def sphere(radius=0.5, distance=2.0, intrinsics=K, h=64, w=64):
    """Depth of a sphere about (0, 0, distance), 0 outside."""
    r = rays(intrinsics, h, w)
    a, b, c = (r**2).sum(-1), r[..., 2] * distance, distance**2 - radius**2
    inside = b**2 > a * c
    return np.where(inside, (b - np.sqrt(np.maximum(b**2 - a * c, 0))) / a, 0)


def plane(normal, offset=-2.0, h=64, w=64):
    return offset / (rays(h=h, w=w) @ normal)


# --- the surface as points --------------------------------------------------------------------------------------------


def test_points_of_a_sphere_lie_on_it_evenly_with_outward_normals():
    points, normals = (x[0].double().numpy() for x in depth_map(sphere()).surface(4000))
    radius = np.linalg.norm(points, axis=1)
    assert np.abs(radius - 0.5).mean() < 2e-3
    near = points[:, 2] < -0.25  # seen within 60 degrees of the surface's normal
    assert (points[near] * normals[near]).sum(1).min() > 0.5 * np.cos(np.deg2rad(8))
    heights = np.sort(points[near, 2])  # Archimedes: the area of a sphere's zone is as its height
    uniform = np.linspace(-0.5, -0.25, len(heights))
    assert np.abs(heights - uniform).max() < 0.01


def test_points_of_a_slanted_plane_lie_on_it_exactly_and_evenly():
    normal = np.array([0.5, 0.1, -1]) / np.linalg.norm([0.5, 0.1, -1])
    points, normals = (x[0].double().numpy() for x in depth_map(plane(normal), pose=pose_at(0)).surface(200_000))
    np.testing.assert_allclose(points @ normal, -2, atol=1e-5)
    np.testing.assert_allclose(normals, np.broadcast_to(normal, normals.shape), atol=1e-3)
    across = np.cross(normal, [0, 1, 0]) / np.linalg.norm(np.cross(normal, [0, 1, 0]))
    from_middle = points - [0, 0, -2 / normal[2]]
    up = np.cross(normal, across)
    cells, _, _ = np.histogram2d(from_middle @ across, from_middle @ up, bins=6, range=[[-0.6, 0.6]] * 2)
    area = 1.2**2 / 36  # each square of the plane has as many: 1.2 x 1.2 lies within the picture
    seen = [np.linalg.norm(np.cross(b - a, c - a)) / 2 for a, b, c in _halves(normal)]
    np.testing.assert_allclose(cells, 200_000 * area / sum(seen), rtol=0.05)


def _halves(normal):
    """The picture on the plane as two triangles."""
    a, b, c, d = (np.array([u / 70, v / 70, 1]) for u, v in ((-32, -32), (-32, 32), (32, 32), (32, -32)))
    a, b, c, d = (-2 / (q @ normal) * q for q in (a, b, c, d))
    return (a, b, c), (a, c, d)


def test_predicted_normals_take_the_place_of_those_of_the_depth():
    normal = torch.zeros(1, 3, 64, 64)
    normal[:, 1] = -1
    turn = Rotation.from_euler("xyz", [20, 30, 40], degrees=True).as_matrix()
    found = depth_map(sphere(), pose=pose_at(2, turn), normal=normal).surface(10)[1][0].numpy()
    np.testing.assert_allclose(found, np.tile(turn.T @ [0, -1, 0], (10, 1)), atol=1e-6)


def test_the_target_frame_is_that_of_the_pose():
    turn = Rotation.from_euler("xyz", [20, 30, 40], degrees=True).as_matrix()
    straight = depth_map(sphere()).surface(100)[0][0].double().numpy()
    turned = depth_map(sphere(), pose=pose_at(2, turn)).surface(100)[0][0].double().numpy()
    np.testing.assert_allclose(turned @ turn.T, straight, atol=1e-6)


def test_a_broken_sample_is_nan_and_leaves_the_others_alone():
    good = sphere()
    stack = [good, np.full_like(good, 2.0), good.copy(), good.copy()]
    masks = [good > 0, np.zeros_like(good, bool), good > 0, good > 0]
    stack[2][32, 32], stack[3][32, 32] = np.nan, -1.0
    maps = [depth_map(d, m) for d, m in zip(stack, masks, strict=True)]
    batch = DepthMap(*(torch.cat([getattr(m, k) for m in maps]) for k in ("depth", "mask")),
                     **{k: torch.cat([getattr(m, k) for m in maps]) for k in ("intrinsics", "pose")})  # fmt: skip
    points, _ = batch.surface(500)
    assert points[1:].isnan().all()
    torch.testing.assert_close(points[:1], maps[0].surface(500)[0])


def test_samples_are_a_function_of_the_generator_alone():
    state, shape = torch.get_rng_state(), depth_map(sphere())
    first = shape.surface(50)[0]
    torch.testing.assert_close(shape.surface(50)[0], first, rtol=0, atol=0)
    seeded = [shape.surface(50, torch.Generator().manual_seed(s))[0] for s in (1, 1, 2)]
    assert torch.equal(seeded[0], seeded[1])
    assert not torch.equal(seeded[0], seeded[2])
    assert torch.equal(torch.get_rng_state(), state)


def test_systematic_draws_follow_the_weights_to_one():
    weight = torch.rand(3, 40, dtype=torch.float64)
    weight[:, ::7] = 0
    drawn = systematic(weight, torch.rand(1000))
    for w, row in zip(weight, drawn, strict=True):
        counts = np.bincount(row.numpy(), minlength=40)
        assert np.abs(counts - 1000 * (w / w.sum()).numpy()).max() <= 2
        assert counts[::7].sum() == 0


# --- what losses read -------------------------------------------------------------------------------------------------


def test_visible_points_are_pixels_of_the_mask_put_into_space():
    skewed = np.array([[60.0, 3, 11], [0, 50, 9], [0, 0, 1]])
    rng = np.random.default_rng(0)
    depth, mask = rng.uniform(1, 3, (18, 25)), rng.random((18, 25)) < 0.4
    turn = pose_at(2, Rotation.from_euler("xyz", [20, 30, 40], degrees=True).as_matrix())
    found = depth_map(depth, mask, skewed, turn).visible_points[0].double().numpy()
    expected = []
    for v, u in zip(*mask.nonzero(), strict=True):
        camera = depth[v, u] * np.linalg.solve(skewed, [u + 0.5, v + 0.5, 1])
        expected.append(np.linalg.solve(turn, [*camera, 1])[:3])
    assert found.shape == (450, 3)
    away = np.linalg.norm(found[:, None] - np.array(expected)[None], axis=-1)
    assert away.min(1).max() < 1e-5  # each is a pixel of the mask
    assert away.min(0).max() < 1e-5  # and each pixel is among them


def test_gradients_reach_the_masks_pixels_alone():
    depth = torch.full((1, 1, 16, 16), 2.0, requires_grad=True)
    mask = torch.zeros(1, 1, 16, 16, dtype=torch.bool)
    mask[..., 4:9, 3:12] = True
    shape = DepthMap(depth, mask, intrinsics=torch.tensor(K, dtype=torch.float32)[None], pose=torch.eye(4)[None])
    shape.visible_points[..., 2].sum().backward()
    assert torch.equal(depth.grad != 0, mask)
    assert depth.grad.sum() == 256


def test_an_empty_mask_gives_points_of_all_pixels_to_losses():
    shape = depth_map(np.full((16, 16), 2.0), np.zeros((16, 16), bool))
    assert shape.visible_points.isfinite().all()
    assert len(torch.unique(shape.visible_points[0], dim=0)) == 256


def test_without_a_camera_it_does_not_lie_in_space():
    shape = DepthMap(torch.ones(1, 1, 4, 4), torch.ones(1, 1, 4, 4, dtype=torch.bool))
    assert shape.visible_points is None
    with pytest.raises(UserError, match="by the intrinsics and pose of its image, but has none"):
        shape.surface(3)


def test_a_mask_has_no_precision():
    shape = depth_map(sphere(), image=torch.rand(1, 3, 64, 64))
    assert shape.to(torch.bfloat16).mask.dtype == torch.bool
    assert shape.to("cpu", torch.float64).depth.dtype == torch.float64
    assert shape.to(torch.bfloat16).float().depth.dtype == torch.float32
    assert "points" not in DepthMap.tensors


# --- meshes and pictures ----------------------------------------------------------------------------------------------


def test_a_grid_becomes_triangles_that_face_the_camera():
    normal = np.array([0.3, 0.2, -1]) / np.linalg.norm([0.3, 0.2, -1])
    mesh = depth_map(plane(normal, h=9, w=14), pose=pose_at(0)).to_trimesh(0)
    assert mesh.faces.shape == (2 * 8 * 13, 3)
    np.testing.assert_allclose(mesh.vertices @ normal, -2, atol=1e-5)
    np.testing.assert_allclose(mesh.face_normals, np.tile(normal, (len(mesh.faces), 1)), atol=1e-3)
    quad = [rays(h=9, w=14)[v, u] for v, u in ((0, 0), (8, 0), (8, 13), (0, 13))]
    corners = np.array([-2 / (q @ normal) * q for q in quad])
    assert mesh.area == pytest.approx(trimesh.Trimesh(corners, [[0, 1, 2], [0, 2, 3]]).area, rel=1e-4)


def test_it_is_cut_at_depth_edges_and_outlines():
    depth = np.full((20, 20), 2.0)
    depth[:, 10:] = 2.5
    mask = np.ones((20, 20), bool)
    mask[8:12] = False
    mesh = depth_map(depth, mask).to_trimesh(0)
    assert len(mesh.split(only_watertight=False)) == 4
    assert np.ptp(mesh.triangles[..., 2], axis=1).max() < 1e-6
    assert len(mesh.faces) == 4 * 2 * 7 * 9


def test_a_cell_is_split_along_the_smaller_step():
    depth = torch.tensor([[2.0, 2.0], [2.0, 2.5]])  # the far corner alone is cut off
    assert grid_faces(depth, 70.0).tolist() == [[0, 2, 1]]
    assert grid_faces(depth.flip(1), 70.0).tolist() == [[0, 3, 1]]
    assert grid_faces(torch.full((2, 2), torch.nan), 70.0).shape == (0, 3)


def test_colours_are_those_of_the_pixels():
    image = torch.rand(1, 3, 64, 64)
    depth = sphere()
    mesh = depth_map(depth, image=image).to_trimesh(0)
    pixels = np.round(mesh.vertices[:, :2] / (mesh.vertices[:, 2:] + 2) * 70 + 31.5).astype(int)
    expected = image[0].permute(1, 2, 0).numpy()[pixels[:, 1], pixels[:, 0]]
    np.testing.assert_allclose(mesh.visual.vertex_colors[:, :3] / 255, expected, atol=1 / 255)


def test_what_no_triangle_touches():
    single = np.zeros((8, 8))
    single[3, 3] = 2
    assert isinstance(depth_map(single).to_trimesh(0), trimesh.PointCloud)
    assert len(depth_map(single).to_trimesh(0).vertices) == 1
    assert len(depth_map(np.zeros((8, 8))).to_trimesh(0).vertices) == 0


def test_maps_are_nan_off_the_mask():
    maps = depth_map(sphere()).maps(0)
    assert maps["depth"].shape == (1, 64, 64)
    assert torch.equal(maps["depth"].isfinite(), torch.tensor(sphere() > 0)[None])
    inside = maps["normal"][:, sphere() > 0]
    torch.testing.assert_close(inside.norm(dim=0), torch.ones(inside.shape[1]))


def test_large_pictures_take_little_time():
    large = K * [[8, 1, 10], [1, 8, 7.5], [1, 1, 1]]
    shape = depth_map(sphere(0.6, intrinsics=large, h=480, w=640), intrinsics=large)
    began = time.process_time()
    assert shape.surface(1024)[0].isfinite().all()
    assert len(shape.to_trimesh(0).faces) > 10_000
    assert time.process_time() - began < 10  # 0.8 s
