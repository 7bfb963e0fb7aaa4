import hashlib
import time

import numpy as np
import pytest
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from lit3d.errors import UserError
from lit3d.synthesis import grammar
from lit3d.synthesis.grammar import difficulty
from lit3d.synthesis.grammar.primitives import (
    beam,
    box,
    cushion,
    ellipsoid,
    extrusion,
    hull,
    lathe,
    post,
    rounded_rectangle,
    sector,
    signed_volume,
    slab,
    torus,
    tube,
)
from lit3d.synthesis.shape import Shape, bounds

CATEGORIES = tuple(grammar.CATEGORIES)
MEMBERS = 12

# Rounded vertices and faces of three objects per category. If a change here is wanted, raise GRAMMAR_VERSION.
FROZEN = {
    "airplane": "a2839e3e80956e69",
    "bed": "17c7a9690d8c87bf",
    "bench": "d76c6779b46aca45",
    "cabinet": "de88d2c7a1c5003c",
    "car": "f0d5fe8e657d2de4",
    "chair": "61413497ec2e5057",
    "lamp": "a710969ae94cf041",
    "mug": "c8169709a1469854",
    "sofa": "5d8d6a07b0590b3b",
    "table": "45cfcf543ea1c0b4",
}


def shapes(category: str, count: int = MEMBERS) -> list[Shape]:
    return [grammar.sample(category, np.random.default_rng([11, i])) for i in range(count)]


def edges(faces: np.ndarray) -> np.ndarray:
    return np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])


def components(shape: Shape) -> tuple[int, np.ndarray]:
    e, count = edges(shape.faces), len(shape.vertices)
    return connected_components(coo_matrix((np.ones(len(e)), e.T), shape=(count, count)), directed=False)


def is_closed(faces: np.ndarray) -> bool:
    """Every directed edge occurs once, and its reverse once."""
    e = [tuple(edge) for edge in edges(faces).tolist()]
    return len(set(e)) == len(e) and set(e) == {(b, a) for a, b in e}


def areas(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    a, b, c = np.moveaxis(vertices[faces], 1, 0)
    return np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2


def digest(category: str) -> str:
    total = hashlib.sha256()
    for shape in shapes(category, 3):
        # The odd shift keeps round decimals off the rounding boundary, where the last bit of a CPU's sum would decide.
        total.update(np.floor(shape.vertices * 1e6 + 0.2371).astype(np.int64).tobytes())
        total.update(shape.faces.astype(np.int64).tobytes())
        total.update(repr(sorted(shape.attributes.items())).encode())
    return total.hexdigest()[:16]


LETTER_L = np.array([(0, 0), (2, 0), (2, 1), (1, 1), (1, 3), (0, 3)], dtype=float)


@pytest.mark.parametrize(
    ("solid", "volume"),
    [
        (box((1, 2, 3), (1, 2, 3)), 6),
        (slab(LETTER_L, 0, 2), 8),
        (slab(LETTER_L[::-1], 0, 2), 8),
        (extrusion(LETTER_L, 0.5), 2),
        (post((0, 3, 0), (0, 0, 0), 2, 2), 12),
        (beam((0, 0, 0), (0, 0, 2), 3, 0.5), 3),
        (beam((0, 0, 0), (0, 2, 0), 3, 0.5), 3),
        (lathe([(1, 0), (1, 2)], 400), 2 * np.pi),
        (lathe([(1, 0), (0, 3)], 400), np.pi),
        (tube([(0, 0, 0), (1, 1, 1)], 2, 400), np.pi * np.sqrt(3)),
        (ellipsoid((5, 5, 5), (1, 2, 3), 100, 60), 8 * np.pi),
        (torus((0, 1, 0), 3, 2, 100, 60), 6 * np.pi**2),
        (hull([(1, 0, 1, 1), (0, 0, 1, 1)], 400), np.pi),
        (sector(1, 2, 90, 0, 1), 3 * np.pi / 4),
        (cushion((0, 0, 0), (3, 1, 2), 1e-9), 6),
    ],
)
def test_primitives_are_closed_outward_and_have_the_right_volume(solid, volume):
    for variant in (solid, solid.moved(1, 2, 3), solid.turned("z", 40, (1, 0, 0)), solid.mirrored()):
        assert is_closed(variant.faces)
        assert signed_volume(variant.vertices, variant.faces) == pytest.approx(volume, rel=5e-3)


def test_a_bent_tube_keeps_its_thickness_at_corners():
    solid = tube([(0, 0, 0), (1, 0, 0), (1, 0, 1)], 0.2, 4)
    assert is_closed(solid.faces)
    # Square section of diagonal 0.2, carried along two arms of length 1 that meet in a mitre.
    assert signed_volume(solid.vertices, solid.faces) == pytest.approx(0.02 * 2, rel=0.02)


def test_triangulation_refuses_a_polygon_that_crosses_itself():
    with pytest.raises(ValueError, match="crosses itself"):
        slab(np.array([(0, 0), (1, 1), (1, 0), (0, 1), (-1, 0.4), (-1, 0.5)], dtype=float), 0, 1)


def test_rounded_rectangle_is_convex_and_fits():
    polygon = rounded_rectangle(2, 1, 9.0)
    assert np.ptp(polygon, axis=0) == pytest.approx([2, 1])
    after = np.roll(polygon, -1, axis=0) - polygon
    nxt = np.roll(after, -1, axis=0)
    assert (after[:, 0] * nxt[:, 1] - after[:, 1] * nxt[:, 0] > 0).all()


@pytest.mark.parametrize("category", CATEGORIES)
def test_every_part_is_closed_with_outward_winding(category):
    for shape in shapes(category):
        assert is_closed(shape.faces)
        count, label = components(shape)
        assert count >= 2
        size = (bounds(shape)[1] - bounds(shape)[0]).max()
        for k in range(count):
            faces = shape.faces[label[shape.faces[:, 0]] == k]
            assert signed_volume(shape.vertices - shape.vertices[faces[0, 0]], faces) > 1e-9 * size**3
            assert len(np.unique(shape.parts[label[shape.faces[:, 0]] == k])) == 1


@pytest.mark.parametrize("category", CATEGORIES)
def test_meshes_are_sound(category):
    for shape in shapes(category):
        assert np.isfinite(shape.vertices).all()
        assert 100 <= len(shape.faces) <= 3000
        extent = bounds(shape)[1] - bounds(shape)[0]
        assert (extent > 0.01 * extent.max()).all()
        assert areas(shape.vertices, shape.faces).min() > 1e-9 * extent.max() ** 2
        assert len(np.unique(np.sort(shape.faces, axis=1), axis=0)) == len(shape.faces)
        assert len(np.unique(np.round(shape.vertices, 9), axis=0)) == len(shape.vertices)
        assert len(np.unique(shape.faces)) == len(shape.vertices)
        assert shape.vertices.dtype == np.float64
        assert shape.faces.dtype == np.int64
        assert shape.colours.shape == (len(shape.faces), 3)
        assert shape.colours.dtype == np.float32
        assert shape.colours.min() >= 0
        assert shape.colours.max() <= 1
        assert shape.parts.dtype == np.int32
        assert set(shape.parts) == set(range(len(shape.part_names)))


@pytest.mark.parametrize("category", CATEGORIES)
def test_nothing_floats(category):
    """Parts whose boxes touch hang together; every such group stands on the floor or is the whole object."""
    for shape in shapes(category):
        count, label = components(shape)
        low, high = np.full((count, 3), np.inf), np.full((count, 3), -np.inf)
        np.minimum.at(low, label, shape.vertices)
        np.maximum.at(high, label, shape.vertices)
        slack = 2e-3 * (high.max(axis=0) - low.min(axis=0)).max()
        touch = ((low[:, None] <= high[None] + slack) & (high[:, None] >= low[None] - slack)).all(axis=-1)
        groups, group = connected_components(touch)
        floor = low[:, 1].min() + 10 * slack
        assert groups == 1 or all(low[group == k, 1].min() < floor for k in range(groups))


@pytest.mark.parametrize("category", CATEGORIES)
def test_same_attributes_same_shape_and_neighbouring_draws_differ(category):
    values = grammar.draw(category, np.random.default_rng(5))
    first, second = grammar.build(category, values), grammar.build(category, dict(reversed(values.items())))
    assert np.array_equal(first.vertices, second.vertices)
    assert np.array_equal(first.faces, second.faces)
    assert np.array_equal(first.colours, second.colours)
    assert first.attributes == values
    sampled = grammar.sample(category, np.random.default_rng(5))
    assert np.array_equal(first.vertices, sampled.vertices)
    assert grammar.draw(category, np.random.default_rng(6)) != values


@pytest.mark.parametrize("category", CATEGORIES)
def test_drawn_attributes_lie_in_their_ranges_and_use_them(category):
    specs = grammar.attributes(category)
    draws = [grammar.draw(category, np.random.default_rng([3, i])) for i in range(300)]
    assert sum(spec.kind == "choice" and len(spec.values) >= 2 for spec in specs) >= 6
    for spec in specs:
        values = [d[spec.name] for d in draws]
        assert all(spec.accepts(v) for v in values)
        assert spec.meaning
        if spec.kind == "choice":
            assert set(values) == set(spec.values)
        else:
            assert max(values) - min(values) > 0.9 * (spec.high - spec.low)


def test_attributes_that_studies_turn_have_an_effect():
    for category, name, values in (
        ("mug", "handle_angle", (0.0, 90.0)),
        ("mug", "handle", ("none", "ring")),
        ("cabinet", "depth", (0.3, 0.6)),
        ("cabinet", "open_door", ("none", "left")),
        ("chair", "arm_side", ("left", "right")),
        ("sofa", "chaise", ("left", "right")),
        ("table", "drawers", ("left", "right")),
    ):
        base = (
            grammar.draw(category, np.random.default_rng(0))
            | {
                "mug": {"handle": "ring"},
                "cabinet": {"fronts": "doors", "columns": 2},
                "chair": {"arms": "open"},
                "sofa": {"form": "straight", "corner": "none"},
                "table": {},
            }[category]
        )
        one, two = (grammar.build(category, base | {name: value}) for value in values)
        assert one.vertices.shape != two.vertices.shape or not np.allclose(one.vertices, two.vertices, atol=1e-3), name


def test_the_mug_handle_points_along_its_angle():
    base = grammar.draw("mug", np.random.default_rng(1)) | {"handle": "ring", "second_handle": "no"}
    for angle, direction in ((0.0, (1, 0)), (90.0, (0, -1)), (180.0, (-1, 0))):
        shape = grammar.build("mug", base | {"handle_angle": angle})
        handle = shape.vertices[np.unique(shape.faces[shape.parts == shape.part_names.index("handle")])].mean(axis=0)
        assert handle[[0, 2]] / np.linalg.norm(handle[[0, 2]]) == pytest.approx(direction, abs=1e-3)
    assert "handle" not in grammar.build("mug", base | {"handle": "none"}).part_names


def test_colours_do_not_change_the_form():
    base = grammar.draw("chair", np.random.default_rng(1))
    one, two = (grammar.build("chair", base | {"palette": k, "brightness": 0.9}) for k in (0, 5))
    assert np.array_equal(one.vertices, two.vertices)
    assert not np.allclose(one.colours, two.colours)


@pytest.mark.parametrize("category", CATEGORIES)
def test_grammar_is_frozen(category):
    assert grammar.GRAMMAR_VERSION == 1
    assert digest(category) == FROZEN[category]


def test_unknown_names_are_explained():
    rng = np.random.default_rng(0)
    with pytest.raises(UserError, match=r"no category 'chiar'\. Did you mean 'chair'.*It has: airplane, bed"):
        grammar.sample("chiar", rng)
    with pytest.raises(UserError, match="no category ''"):
        grammar.attributes("")
    values = grammar.draw("mug", rng)
    with pytest.raises(UserError, match=r"'mug' has no attribute 'handel'\. Did you mean 'handle'"):
        grammar.build("mug", values | {"handel": "ring"})
    del values["handle"]
    with pytest.raises(UserError, match=r"Attribute 'handle' of category 'mug' is missing: give one of ring, ear"):
        grammar.build("mug", values)


@pytest.mark.parametrize(
    ("category", "name", "value", "allowed"),
    [
        ("mug", "handle", "star", "one of ring, ear, square, hook, none, got 'star'"),
        ("mug", "handle", 3, "one of ring"),
        ("cabinet", "depth", -1.0, "a number from 0.2 to 0.9, got -1.0"),
        ("cabinet", "depth", float("nan"), "a number from 0.2 to 0.9, got nan"),
        ("cabinet", "depth", True, "a number from 0.2"),
        ("cabinet", "columns", 2.5, "a whole number from 1 to 4, got 2.5"),
        ("cabinet", "columns", 9, "a whole number from 1 to 4, got 9"),
    ],
)
def test_invalid_values_name_the_attribute_and_what_is_allowed(category, name, value, allowed):
    values = grammar.draw(category, np.random.default_rng(0)) | {name: value}
    with pytest.raises(UserError, match=f"Attribute '{name}' of category '{category}' must be {allowed}"):
        grammar.build(category, values)


def test_numpy_numbers_are_taken_and_stored_plain():
    values = grammar.draw("cabinet", np.random.default_rng(0)) | {"depth": np.float64(0.5), "columns": np.int64(2)}
    stored = grammar.build("cabinet", values).attributes
    assert type(stored["depth"]) is float
    assert type(stored["columns"]) is int


def test_extreme_attributes_build():
    for category in CATEGORIES:
        specs = grammar.attributes(category)
        middle = grammar.draw(category, np.random.default_rng(2))
        for end in ("low", "high"):
            values = {s.name: middle[s.name] if s.kind == "choice" else s.plain(getattr(s, end)) for s in specs}
            shape = grammar.build(category, values)
            assert np.isfinite(shape.vertices).all()
            assert is_closed(shape.faces)


def test_building_is_fast():
    start = time.process_time()
    for category in CATEGORIES:
        shapes(category, 20)
    assert (time.process_time() - start) / (20 * len(CATEGORIES)) < 0.01


def test_winding_numbers_count_the_parts_around_a_point():
    solid = box((0, 0, 0), (2, 2, 2))
    corners = np.concatenate([solid.vertices[solid.faces], solid.moved(1).vertices[solid.faces]])
    points = np.random.default_rng(0).uniform(-3, 3, (500, 3))
    expected = (np.abs(points) < 1).all(axis=1).astype(int) + (np.abs(points - (1, 0, 0)) < 1).all(axis=1)
    assert np.array_equal(difficulty.winding_numbers(points, corners), expected)


def test_surface_points_lie_on_the_outer_surface():
    shape = grammar.sample("car", np.random.default_rng(0))
    points = difficulty.surface_points(shape, 300, np.random.default_rng(0))
    assert points.shape == (300, 3)
    assert np.abs(points).max() <= 0.5 + 1e-9


def test_scores_of_known_clouds():
    one = difficulty.cloud(np.zeros((4, 3)))
    near, far = difficulty.cloud(np.full((4, 3), 0.02)), difficulty.cloud(np.array([[0.05, 0, 0], [0.0, 0, 0]]))
    assert difficulty.chamfer(one, near) == pytest.approx(2 * 3 * 0.02**2)
    assert difficulty.fscore(one, near) == 1
    # The radius is strict: of the two points, the one at exactly 0.05 does not count.
    assert difficulty.fscore(one, far) == pytest.approx(2 / 3)
    assert difficulty.fscore(one, difficulty.cloud(np.ones((3, 3)))) == 0


def test_few_objects_are_already_unlike_each_other():
    nearest, floor = difficulty.spread("lamp", 12)
    assert nearest > 3 * floor


@pytest.mark.slow
def test_the_grammar_is_hard_enough():
    for category in CATEGORIES:
        nearest, floor = difficulty.spread(category)
        assert nearest >= 3 * floor, category
    assert np.mean(list(difficulty.constant_scores().values())) <= 0.40
