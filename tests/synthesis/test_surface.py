import numpy as np
import pytest
import trimesh

from lit3d.errors import UserError
from lit3d.synthesis.render import prepare
from lit3d.synthesis.shape import Shape, UnusableMeshError
from lit3d.synthesis.surface import all_surface, outer_surface, sample_surface


def mesh_of(vertices, faces):
    faces = np.asarray(faces, np.int64)
    colours, parts = np.ones((len(faces), 3), np.float32), np.zeros(len(faces), np.int32)
    shape = Shape(np.asarray(vertices, float), faces, colours, parts)
    return prepare(shape.vertices, shape)


def of(*parts):
    joined = trimesh.util.concatenate(parts)
    return mesh_of(joined.vertices, joined.faces)


def rng(seed=0):
    return np.random.default_rng(seed)


def chi_square_per_degree(faces, areas):
    """1 where the samples on faces (m,) are spread as the areas (f,) are."""
    expected = len(faces) * areas / areas.sum()
    return ((np.bincount(faces, minlength=len(areas)) - expected) ** 2 / expected).sum() / (len(areas) - 1)


@pytest.mark.parametrize("sample", [all_surface, outer_surface])
def test_samples_are_uniform_by_area(sample):
    ball = trimesh.creation.icosphere(3, radius=0.5)
    ball.vertices *= [1, 0.5, 0.8]
    drawn = sample(mesh_of(ball.vertices, ball.faces), 100_000, rng())
    assert 0.87 < chi_square_per_degree(drawn.faces, ball.area_faces) < 1.13  # 1279 degrees: sigma 0.04
    if sample is outer_surface:
        assert drawn.dropped_share < 1e-3


def test_samples_lie_on_their_face_and_fill_it():
    triangle = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]])
    points, faces = sample_surface(triangle, np.array([[0, 0, 1], [0, 1, 2]]), 20_000, rng())
    assert (faces == 1).all()  # the first has no area
    assert points.dtype == np.float32
    assert (points[:, :2].sum(1) <= 1 + 1e-6).all()
    assert (points[:, 2] == 0).all()
    np.testing.assert_allclose(points.mean(0), [1 / 3, 1 / 3, 0], atol=0.01)


@pytest.mark.parametrize("seed", range(3))
def test_nothing_hidden_in_a_closed_box_is_sampled(seed):
    outer, inner = trimesh.creation.box((1, 0.7, 0.5)), trimesh.creation.box((0.9, 0.6, 0.4))
    turn = trimesh.transformations.random_rotation_matrix(rng(seed).random(3))
    sample = outer_surface(of(outer.apply_transform(turn), inner.apply_transform(turn)), 20_000, rng(seed))
    assert sample.faces.max() < 12
    assert sample.dropped_share == pytest.approx(inner.area / (inner.area + outer.area), abs=0.02)
    assert (sample.points * sample.normals).sum(1).min() > 0
    assert chi_square_per_degree(sample.faces, outer.area_faces) < 3


def test_thin_walls_hide_what_is_behind_them():
    outer, inner = trimesh.creation.box((1, 0.6, 0.5)), trimesh.creation.box((0.99, 0.59, 0.49))
    sample = outer_surface(of(outer, inner), 20_000, rng())
    assert sample.faces.max() < 12


def test_the_underside_and_the_inside_of_a_mug_are_kept():
    table = of(trimesh.creation.box((1, 0.05, 1)).apply_translation([0, 0.5, 0]),
               *[trimesh.creation.box((0.06, 0.5, 0.06)).apply_translation([x, 0.22, z])
                 for x in (-0.4, 0.4) for z in (-0.4, 0.4)])
    sample = outer_surface(table, 10_000, rng())
    assert ((sample.normals[:, 1] < -0.9) & (sample.points[:, 1] > 0.4)).mean() > 0.2
    mug = trimesh.creation.annulus(r_min=0.4, r_max=0.45, height=0.6)
    kept = outer_surface(mesh_of(mug.vertices, mug.faces), 20_000, rng())
    assert kept.dropped_share < 0.01


def test_normals_point_to_the_side_that_is_seen_whatever_the_winding():
    box = trimesh.creation.box((0.8, 1, 0.6))
    mixed = box.faces.copy()
    mixed[::2] = mixed[::2, ::-1]
    for faces in (box.faces, box.faces[:, ::-1], mixed):
        sample = outer_surface(mesh_of(box.vertices, faces), 2_000, rng())
        np.testing.assert_allclose(np.linalg.norm(sample.normals, axis=1), 1, rtol=1e-5)
        assert (sample.points * sample.normals).sum(1).min() > 0.29
        assert sample.normals.dtype == np.float32


def test_an_open_sheet_is_seen_whole_with_the_normals_of_its_winding():
    sheet = mesh_of([[-0.5, 0, -0.5], [0.5, 0, -0.5], [0.5, 0, 0.5], [-0.5, 0, 0.5]], [[0, 1, 2], [0, 2, 3]])
    sample = outer_surface(sheet, 5_000, rng())
    assert sample.dropped_share == 0
    np.testing.assert_allclose(sample.normals, np.tile([0, -1, 0], (5_000, 1)), atol=1e-6)
    assert len(sample.points) == 5_000
    assert sample.faces.dtype == np.int64


def test_parts_thinner_than_a_pixel_are_not_lost():
    wire = trimesh.creation.box((1e-3, 1, 1e-3))
    sample = outer_surface(of(trimesh.creation.box((1, 0.1, 1)), wire.apply_translation([0, 0.6, 0])), 200_000, rng())
    assert (sample.faces >= 12).sum() == pytest.approx(200_000 * wire.area / (wire.area + 2.4), rel=0.2)


def test_the_same_generator_gives_the_same_points():
    mesh = of(trimesh.creation.icosphere(2, radius=0.5))
    first, second, other = (outer_surface(mesh, 500, rng(s)) for s in (1, 1, 2))
    np.testing.assert_array_equal(first.points, second.points)
    assert (first.points != other.points).any()


def test_surfaces_that_cannot_be_sampled_say_why():
    with pytest.raises(UnusableMeshError, match="no area"):
        outer_surface(mesh_of([[0, 0, 0], [0.5, 0, 0], [1, 0, 0]], [[0, 1, 2]]), 10, rng())
    nested = [trimesh.creation.box((side, side, side)) for side in [0.6] + 80 * [0.58]]
    with pytest.raises(UnusableMeshError, match=r"only .*% of the surface can be seen from outside"):
        outer_surface(of(*nested), 1_000, rng())


def test_numbers_out_of_range_are_refused():
    for wrong in ({"count": 0}, {"directions": 0}, {"resolution": 2}):
        with pytest.raises(UserError, match="count >= 1, directions >= 1 and resolution >= 16"):
            outer_surface(of(trimesh.creation.box()), **({"count": 5} | wrong), rng=rng())
