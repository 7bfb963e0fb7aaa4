"""The renderer against ray casting (embreex) and against closed forms."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import trimesh

from lit3d.errors import UserError
from lit3d.synthesis.cameras import Camera, look_at_origin
from lit3d.synthesis.render import Lights, composite, draw_lights, jitter_colours, prepare, render
from lit3d.synthesis.shape import Shape, UnusableMeshError


def shape_of(vertices, faces, colour=(0.8, 0.4, 0.2), **extra):
    faces = np.asarray(faces, np.int64).reshape(-1, 3)
    colours = np.broadcast_to(np.asarray(colour, np.float32), (len(faces), 3))
    return Shape(np.asarray(vertices, np.float64), faces, colours, np.zeros(len(faces), np.int32), **extra)


def mesh_of(vertices, faces, **extra):
    shape = shape_of(vertices, faces, **extra)
    return prepare(shape.vertices, shape)


def looking(azimuth=30.0, elevation=25.0, distance=2.0, side=64, **kwargs):
    return look_at_origin(azimuth, elevation, distance, focal=35 / 32 * side, size=(side, side), **kwargs)


def scene(seed):
    """Several solids, intersecting, turned at random."""
    rng = np.random.default_rng(seed)
    parts = []
    for make in (trimesh.creation.icosphere(2), trimesh.creation.box(), trimesh.creation.torus(0.5, 0.2),
                 trimesh.creation.cylinder(0.3, 1.2), trimesh.creation.cone(0.4, 1.0)):
        turn = trimesh.transformations.random_rotation_matrix(rng.random(3))
        parts.append(make.apply_transform(turn).apply_scale(rng.uniform(0.1, 0.4)).apply_translation(
            rng.uniform(-0.3, 0.3, 3)))
    joined = trimesh.util.concatenate(parts)
    return joined.vertices, joined.faces


def cast(mesh, camera):
    """Ray casting through the pixel centres: triangle (h, w), depth (h, w)."""
    rtcore_scene = pytest.importorskip("embreex.rtcore_scene")
    from embreex.mesh_construction import TriangleMesh
    tracer = rtcore_scene.EmbreeScene()
    TriangleMesh(tracer, mesh.vertices[mesh.faces])
    height, width = camera.size
    v, u = np.mgrid[:height, :width] + 0.5
    rays = np.stack([u, v, np.ones_like(u)], -1).reshape(-1, 3) @ np.linalg.inv(camera.intrinsics).T
    directions = (rays @ camera.object_to_camera[:3, :3]).astype(np.float32)
    origins = np.tile(camera.centre.astype(np.float32), (len(directions), 1))
    hit = tracer.run(origins, directions, output=1)
    return hit["primID"].reshape(height, width), hit["tfar"].reshape(height, width)


def edge_distance(mesh, camera):
    """(h, w) distance in pixels from each pixel centre to the nearest projected edge in front of the camera."""
    from lit3d.synthesis.cameras import project
    height, width = camera.size
    pixels, _ = project(mesh.vertices, camera)
    v, u = np.mgrid[:height, :width] + 0.5
    centres = np.stack([u, v], -1).reshape(-1, 1, 2)
    best = np.full(len(centres), np.inf)
    for i, j in ((0, 1), (1, 2), (2, 0)):
        a, b = pixels[mesh.faces[:, i]], pixels[mesh.faces[:, j]]
        along = ((centres - a) * (b - a)).sum(-1) / np.maximum(((b - a) ** 2).sum(-1), 1e-30)
        away = np.linalg.norm(centres - a - np.clip(along, 0, 1)[..., None] * (b - a), axis=-1)
        best = np.minimum(best, away.min(1))
    return best.reshape(height, width)


@pytest.mark.parametrize("seed", range(6))
def test_mask_depth_and_triangle_are_those_of_ray_casting(seed):
    mesh, camera = mesh_of(*scene(seed)), looking(37.0 * seed, 10.0 * seed - 20, 1.6, side=96)
    view = render(mesh, camera, samples=1)
    triangle, depth = cast(mesh, camera)
    # The reference computes in float32: 1e-4 pixel at an outline is its own error, not ours.
    differing = view.mask != (triangle >= 0)
    assert not differing.any() or edge_distance(mesh, camera)[differing].max() < 1e-4
    both = view.mask & (triangle >= 0)
    assert both.mean() > 0.05
    same = both & (triangle == view.triangle)
    np.testing.assert_allclose(view.depth[same], depth[same], rtol=1e-5)
    ties = both & ~same
    assert ties.sum() <= 3
    np.testing.assert_allclose(view.depth[ties], depth[ties], rtol=1e-4)
    assert (view.triangle[~view.mask] == -1).all()
    assert (view.depth[~view.mask] == 0).all()


@pytest.mark.parametrize("seed", range(3))
def test_a_camera_inside_the_scene_sees_what_ray_casting_sees(seed):
    mesh = mesh_of(*scene(seed))
    pose = np.eye(4)
    pose[:3, :3] = trimesh.transformations.random_rotation_matrix(np.random.default_rng(seed).random(3))[:3, :3]
    pose[:3, 3] = 0.02
    camera = Camera(np.array([[40.0, 0, 32], [0, 40, 32], [0, 0, 1]]), pose, (64, 64))
    view = render(mesh, camera, samples=1, near=1e-6)
    triangle, depth = cast(mesh, camera)
    assert (view.mask != (triangle >= 0)).sum() <= 2
    both = view.mask & (triangle >= 0)
    assert (triangle == view.triangle)[both].mean() > 0.995
    np.testing.assert_allclose(view.depth[both], depth[both], rtol=1e-4)


def test_a_triangle_through_the_camera_plane_covers_the_ground_up_to_the_horizon():
    ground = mesh_of([[-50, -0.5, 50], [50, -0.5, 50], [0, -0.5, -100]], [[0, 1, 2]])
    camera = look_at_origin(0, 0, 1.0, focal=64, size=(64, 64))
    view = render(ground, camera, samples=1)
    rows = np.arange(64) + 0.5
    expected = 0.5 * 64 / (rows[33:] - 32)  # depth where a ray meets the plane y = -0.5
    np.testing.assert_allclose(view.depth[33:, 32], expected, rtol=1e-6)
    assert view.mask[33:].all()
    assert not view.mask[:32].any()
    np.testing.assert_allclose(view.normal[40, 10], [0, -1, 0], atol=1e-6)  # up is -y in camera axes


def test_near_cuts_off_what_is_closer():
    plane = mesh_of([[-9, -9, 0], [9, -9, 0], [0, 9, 0]], [[0, 1, 2]])
    camera = look_at_origin(0, 0, 1.0, focal=64, size=(8, 8))
    assert render(plane, camera, near=0.99).mask.all()
    assert not render(plane, camera, near=1.01).mask.any()


def test_a_sphere_has_its_depth_outline_and_normals():
    ball = trimesh.creation.icosphere(5, radius=0.5)
    camera = look_at_origin(20, 30, 2.0, focal=100, size=(96, 96))
    view = render(mesh_of(ball.vertices, ball.faces), camera, samples=1)
    v, u = np.mgrid[:96, :96] + 0.5
    rays = np.stack([(u - 48) / 100, (v - 48) / 100, np.ones_like(u)], -1)
    square, half = (rays**2).sum(-1), 2 * rays[..., 2]
    root = half**2 - square * (4 - 0.25)  # |z ray - (0, 0, 2)| = 0.5
    depth = (half - np.sqrt(np.maximum(root, 0))) / square
    assert (view.mask != (root > 0)).sum() <= 4
    inner = view.mask & (root > 0.05)
    np.testing.assert_allclose(view.depth[inner], depth[inner], atol=2e-3)
    normals = (depth[..., None] * rays - [0, 0, 2]) / 0.5
    assert (view.normal * normals).sum(-1)[inner].min() > np.cos(np.deg2rad(4))


def test_a_box_has_its_three_normals_and_a_plane_its_depth():
    box = trimesh.creation.box()
    view = render(mesh_of(box.vertices, box.faces), looking(30, 25), samples=1)
    found = np.unique(np.round(view.normal[view.mask] @ looking(30, 25).object_to_camera[:3, :3], 5), axis=0)
    np.testing.assert_allclose(found, [[0, 0, 1], [0, 1, 0], [1, 0, 0]], atol=1e-5)
    head_on = render(mesh_of(box.vertices, box.faces), look_at_origin(0, 0, 2, focal=64, size=(64, 64)), samples=1)
    np.testing.assert_allclose(head_on.depth[head_on.mask], 1.5, rtol=1e-6)
    # 64 / 1.5 = 42.67 pixels wide: centres 10.5 ... 53.5, without a gap along the diagonal.
    assert head_on.mask.sum() == 42 * 42
    assert head_on.mask[11:53, 11:53].all()


def test_weights_give_the_point_back():
    mesh, camera = mesh_of(*scene(3)), looking()
    view = render(mesh, camera, samples=1)
    seen = view.mask
    points = (mesh.vertices[mesh.faces[view.triangle[seen]]] * view.barycentric[seen][..., None]).sum(1)
    from lit3d.synthesis.cameras import project
    pixels, depth = project(points, camera)
    v, u = np.nonzero(seen)
    np.testing.assert_allclose(pixels, np.stack([u, v], 1) + 0.5, atol=1e-3)
    np.testing.assert_allclose(depth, view.depth[seen], rtol=1e-5)


SQUARE = [[-0.5, -0.5, 0], [0.5, -0.5, 0], [0.5, 0.5, 0], [-0.5, 0.5, 0]], [[0, 1, 2], [0, 2, 3]]


def quad():
    return mesh_of(*SQUARE)


AMBIENT = Lights(intensities=((0, 0, 0), (0, 0, 0)), sky=(1, 1, 1), ground=(1, 1, 1), specular=0.0)


@pytest.mark.parametrize("limit", [256, 8])
def test_a_texture_stands_upright(limit):
    texture = np.zeros((16, 16, 3), np.uint8)
    texture[:8, :8], texture[:8, 8:], texture[8:, :8], texture[8:, 8:] = [255, 0, 0], [0, 255, 0], [0, 0, 255], 255
    shape = shape_of(*SQUARE, uv=np.array([[[0, 0], [1, 0], [1, 1]], [[0, 0], [1, 1], [0, 1]]], np.float32),
                     texture_of_face=np.zeros(2, np.int32), textures=(texture,))  # upright as seen from +z
    mesh = prepare(shape.vertices, shape, texture_limit=limit)
    rgba = render(mesh, look_at_origin(0, 0, 1, focal=40, size=(40, 40)), lights=AMBIENT).rgba
    expected = {(8, 8): [255, 0, 0], (8, 31): [0, 255, 0], (31, 8): [0, 0, 255], (31, 31): [255] * 3}
    for (y, x), colour in expected.items():
        np.testing.assert_array_equal(rgba[y, x], [*colour, 255])


def test_alpha_is_straight_and_counts_subpixels():
    half_covered = mesh_of([[-9, -9, 0], [0, -9, 0], [0, 9, 0], [-9, 9, 0]], [[0, 1, 2], [0, 2, 3]], colour=(1, 0.5, 0))
    camera = Camera(np.array([[10.0, 0, 2.5], [0, 10, 2.5], [0, 0, 1]]), looking(0, 0, 1).object_to_camera, (5, 5))
    rgba = render(half_covered, camera, samples=4, lights=AMBIENT).rgba
    np.testing.assert_array_equal(rgba[:, :, 3], np.tile([255, 255, 128, 0, 0], (5, 1)))
    np.testing.assert_array_equal(rgba[:, :3, :3], np.tile(np.uint8([255, 128, 0]), (5, 3, 1)))  # no dark fringe
    np.testing.assert_allclose(composite(rgba)[:, 2, 2], 1 - (128 / 255) * (1 - np.array([1, 128 / 255, 0])), atol=1e-6)
    black = composite(rgba, (0, 0, 0))
    assert black.shape == (3, 5, 5)
    assert black.dtype == np.float32
    assert black[:, 0, 4].max() == 0


@pytest.mark.parametrize("background", ["black", (0, 0, 2), (1, 1), (np.nan, 0, 0)])
def test_a_background_that_is_no_colour_is_refused(background):
    with pytest.raises(UserError, match="background must be 'white' or three numbers"):
        composite(np.zeros((2, 2, 4), np.uint8), background)


def test_supersampling_leaves_geometry_alone():
    mesh, camera = mesh_of(*scene(1)), looking()
    one, three = render(mesh, camera, samples=1), render(mesh, camera, samples=3)
    for name in ("mask", "depth", "normal", "triangle", "barycentric"):
        np.testing.assert_array_equal(getattr(one, name), getattr(three, name))
    assert (one.rgba[..., 3] == 255 * one.mask).all()
    assert len(np.unique(three.rgba[..., 3])) > 5


def test_smooth_normals_ignore_winding_and_keep_creases():
    ball = trimesh.creation.icosphere(2, radius=0.5)
    flipped = ball.faces.copy()
    flipped[::3] = flipped[::3, ::-1]
    camera = looking()
    reference = render(mesh_of(ball.vertices, ball.faces), camera).rgba.astype(int)
    assert np.abs(render(mesh_of(ball.vertices, flipped), camera).rgba - reference).max() <= 1
    doubled = np.concatenate([ball.faces, ball.faces[:, ::-1]])
    assert np.abs(render(mesh_of(ball.vertices, doubled), camera).rgba - reference).max() <= 1
    flat = render(mesh_of(ball.vertices, ball.faces), camera, crease_degrees=0).rgba.astype(int)
    assert np.abs(flat - reference).max() > 5
    box = trimesh.creation.box()
    smooth, sharp = (render(mesh_of(box.vertices, box.faces), camera, crease_degrees=c, lights=Lights(specular=0.0))
                     for c in (40, 0))
    np.testing.assert_array_equal(smooth.rgba, sharp.rgba)


def test_crease_and_mesh_changes_do_not_reuse_old_normals():
    ball, camera = trimesh.creation.icosphere(2, radius=0.5), looking()
    first = mesh_of(ball.vertices, ball.faces)
    expected = render(first, camera).rgba
    render(first, camera, crease_degrees=0)
    render(mesh_of(ball.vertices * [1, 0.3, 1], ball.faces), camera)
    np.testing.assert_array_equal(render(first, camera).rgba, expected)


def test_two_threads_give_the_same_bytes():
    meshes, cameras = [mesh_of(*scene(s)) for s in range(4)], [looking(a, side=48) for a in range(0, 360, 45)]
    jobs = [(mesh, camera) for mesh in meshes for camera in cameras]

    def work(job):
        view = render(*job, shadows=True)
        return b"".join(getattr(view, n).tobytes() for n in ("rgba", "depth", "normal", "triangle", "barycentric"))
    alone = [work(job) for job in jobs]
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(work, jobs)) == alone


def test_coincident_faces_show_the_first():
    square = quad()
    faces = square.faces
    doubled = mesh_of(square.vertices, np.concatenate([faces, faces[:, ::-1], faces[:, [1, 2, 0]]]))
    view = render(doubled, looking(25, 40, 1.5), samples=1)
    assert set(np.unique(view.triangle)) == {-1, 0, 1}
    np.testing.assert_array_equal(view.mask, render(square, looking(25, 40, 1.5), samples=1).mask)


def test_both_sides_of_a_sheet_are_lit():
    front, back = (render(quad(), looking(a, 25), samples=1) for a in (0, 180))
    assert front.rgba[32, 32, :3].max() > 80
    assert back.rgba[32, 32, :3].max() > 80
    assert max(back.normal[32, 32, 2], front.normal[32, 32, 2]) < 0


def test_a_roof_casts_its_shadow_on_the_ground_and_nowhere_else():
    ground, roof = trimesh.creation.box((1, 0.02, 1)), trimesh.creation.box((0.4, 0.02, 0.4))
    both = trimesh.util.concatenate([ground, roof.apply_translation([0, 0.3, 0])])
    lights = Lights(directions=((0.3, 1, 0), (0, -1, 0)), specular=0.0, attached_to="object")
    camera = looking(0, 35, 1.8, side=96)
    mesh = mesh_of(both.vertices, both.faces)
    plain, shaded = (render(mesh, camera, samples=1, lights=lights, shadows=s) for s in (False, True))
    darker = plain.rgba[..., 0].astype(int) - shaded.rgba[..., 0] > 20
    on_top = plain.mask & ((plain.normal @ camera.object_to_camera[:3, :3])[..., 1] > 0.9) & (plain.triangle < 12)
    seen = (mesh.vertices[mesh.faces[plain.triangle]] * plain.barycentric[..., None]).sum(2)
    # The ray to the light from (x, 0.01, z) is at x + 0.3 (0.29 .. 0.31) at the height of the roof.
    x, z = seen[..., 0] + 0.3 * 0.3, seen[..., 2]
    inside = on_top & (np.maximum(np.abs(x), np.abs(z)) < 0.18)
    outside = plain.mask & ~(on_top & (np.maximum(np.abs(x), np.abs(z)) < 0.22))
    assert inside.sum() > 50
    assert darker[inside].all()
    assert not darker[outside].any()


def test_degenerate_and_absent_triangles_leave_an_empty_view():
    line = mesh_of([[0, 0, 0], [0.1, 0, 0], [0.2, 0, 0]], [[0, 1, 2], [0, 0, 1]])
    away = mesh_of([[0, 0, 9], [1, 0, 9], [0, 1, 9]], [[0, 1, 2]])
    for mesh in (line, away):
        view = render(mesh, looking(0, 0))
        assert not view.mask.any()
        assert not view.rgba.any()
        assert (view.triangle == -1).all()
        assert not view.normal.any()


def test_degenerate_neighbours_do_not_spoil_normals():
    good = trimesh.creation.icosphere(1, radius=0.5)
    faces = np.concatenate([good.faces, good.faces[:5, [0, 0, 1]]])
    rgba = render(mesh_of(good.vertices, faces), looking()).rgba
    np.testing.assert_array_equal(rgba, render(mesh_of(good.vertices, good.faces), looking()).rgba)


def test_a_single_triangle_and_a_single_pixel():
    one = mesh_of([[-1, -1, 0], [1, -1, 0], [0, 1, 0]], [[0, 1, 2]])
    view = render(one, look_at_origin(0, 0, 2, focal=1, size=(1, 1)), samples=1)
    assert view.depth.tolist() == [[2.0]]
    assert view.rgba[0, 0, 3] == 255


@pytest.mark.parametrize(("vertices", "faces", "text"), [
    ([[0, 0, np.nan], [1, 0, 0], [0, 1, 0]], [[0, 1, 2]], "NaN or infinite"),
    ([[0, 0, np.inf], [1, 0, 0], [0, 1, 0]], [[0, 1, 2]], "NaN or infinite"),
    ([[0, 0, 0], [1, 0, 0], [0, 1, 0]], [[0, 1, 3]], "only 3"),
    ([[0, 0, 0], [1, 0, 0], [0, 1, 0]], [[0, 1, -1]], "point to vertices -1"),
    ([[0, 0, 0], [1, 0, 0], [0, 1, 0]], [], "at least one triangle"),
])
def test_a_mesh_that_would_break_the_kernels_is_refused(vertices, faces, text):
    with pytest.raises(UnusableMeshError, match=text):
        mesh_of(vertices, faces)


def test_broken_materials_are_refused():
    corners, uv = [[0, 0, 0], [1, 0, 0], [0, 1, 0]], np.zeros((1, 3, 2), np.float32)
    image = np.zeros((2, 2, 3), np.uint8)
    for extra, text in (
        ({"uv": uv + np.nan, "texture_of_face": np.zeros(1, np.int32), "textures": (image,)}, "finite uv"),
        ({"uv": uv, "texture_of_face": np.ones(1, np.int32), "textures": (image,)}, "uses texture 1"),
        ({"uv": uv, "texture_of_face": np.zeros(1, np.int32), "textures": (image[..., 0],)}, "RGB textures"),
        ({"colour": (np.nan, 0, 0)}, "finite colours"),
    ):
        with pytest.raises(UnusableMeshError, match=text):
            mesh_of(corners, [[0, 1, 2]], **extra)


def test_settings_out_of_range_are_refused():
    for wrong in ({"samples": 0}, {"crease_degrees": 120}, {"near": 0.0}):
        with pytest.raises(UserError, match=r"samples in 1\.\.16"):
            render(quad(), looking(), **wrong)
    with pytest.raises(UserError, match="attached_to"):
        render(quad(), looking(), lights=Lights(attached_to="sky"))
    with pytest.raises(UserError, match="not zero"):
        render(quad(), looking(), lights=Lights(directions=((0, 0, 0), (1, 0, 0))))


def test_drawn_lights_and_colours_vary_with_strength_only():
    rng = np.random.default_rng(0)
    calm = draw_lights(rng, 0.0)
    assert calm.sky == pytest.approx(Lights().sky)
    np.testing.assert_allclose(calm.directions, Lights().directions)
    brightness = [render(quad(), looking(0, 10), samples=1, lights=draw_lights(rng, 1.0)).rgba[32, 32, :3].mean()
                  for _ in range(30)]
    assert np.std(brightness) > 3
    assert min(brightness) > 30
    colours = np.repeat(rng.random((5, 3)), 4, axis=0).astype(np.float32)
    np.testing.assert_allclose(jitter_colours(rng, colours, 0.0), colours)
    jittered = jitter_colours(rng, colours, 1.0)
    assert jittered.dtype == np.float32
    assert 0 <= jittered.min() <= jittered.max() <= 1
    assert np.abs(jittered - colours).max() > 0.05
    np.testing.assert_array_equal(jittered.reshape(5, 4, 3), np.repeat(jittered[::4, None], 4, axis=1))
