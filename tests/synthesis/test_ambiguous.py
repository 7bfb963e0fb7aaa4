"""Pictures of ambiguous objects are the same to the byte whatever they hide; what they hide has a known posterior."""

import itertools
import pickle
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import trimesh

from lit3d.config import compose
from lit3d.errors import UserError
from lit3d.synthesis import AmbiguousSource, SynthesisSettings, ViewRange
from lit3d.synthesis.cameras import look_at_origin
from lit3d.synthesis.grammar.attribute import drawn
from lit3d.synthesis.grammar.hidden import KINDS
from lit3d.synthesis.lights import Lights, draw_lights
from lit3d.synthesis.pipeline import object_generator, prepared, render_object
from lit3d.synthesis.render import render
from lit3d.synthesis.shape import UnusableMeshError, bounds
from lit3d.synthesis.sources.grammar import generator

FRONT = ViewRange(azimuth=(-8.0, 8.0), elevation=(0.0, 8.0))
SMALL = SynthesisSettings(image_size=32, views=2, points=300, view_range=FRONT)
THREE = {"cabinet_depth": [0.3, 0.3, 0.4]}


def objects(kind, count, **options):
    source = AmbiguousSource(10 * count, kinds=[kind], **options)
    return [source.load(item) for item in source.items()[::10]][:count]


def views(shape, azimuth, elevation, ratio, size=64, lights=None, shadows=False):
    """The object with each value, seen by one camera."""
    ready = [prepared(member) for member in shape.posterior.shapes]
    distance = 1.75 * ratio * float(np.linalg.norm(ready[0].extents))
    camera = look_at_origin(azimuth, elevation, distance, focal=35 / 32 * size, size=(size, size))
    return [render(one.mesh, camera, lights=lights, shadows=shadows) for one in ready]


@pytest.mark.parametrize("kind", KINDS)
def test_the_default_cameras_are_those_that_are_tested_here(kind):
    config = compose("synthesize", ["data=ambiguous", "paths.data=x"])["data"]
    posterior = KINDS[kind].probabilities.values()
    assert (kind in config["source"]["kinds"]) == (sum(p > 0 for p in posterior) == 2)  # modes, by default
    for name in ("azimuth", "elevation"):
        assert tuple(config["synthesis"]["view_range"][name]) == getattr(FRONT, name)
    assert config["augment"]["mirror"] == 0


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_are_the_same_to_the_byte_for_all_values_even_at_the_extremes(kind):
    for number, shape in enumerate(objects(kind, 12, probabilities=THREE if kind in THREE else None)):
        shadows = number % 4 == 0
        lights = draw_lights(np.random.default_rng(number), 0.3 if shadows else 1.0)
        for azimuth, elevation, ratio in itertools.product(FRONT.azimuth, FRONT.elevation, FRONT.distance_ratio):
            first, *others = views(shape, azimuth, elevation, ratio, lights=lights, shadows=shadows)
            assert len(others) == len(shape.posterior.values) - 1
            assert first.mask.any()
            for other in others:
                for key in ("rgba", "mask", "depth", "normal"):
                    assert getattr(first, key).tobytes() == getattr(other, key).tobytes(), (azimuth, elevation, key)


@pytest.mark.parametrize("kind", KINDS)
def test_from_elsewhere_the_values_can_be_told(kind):
    first, second, *_ = views(objects(kind, 1)[0], 60, 25, 0.8, lights=Lights())
    assert not np.array_equal(first.mask, second.mask)


@pytest.mark.parametrize("kind", KINDS)
def test_one_box_for_all_values_which_holds_them_all(kind):
    for shape in objects(kind, 5):
        ready = [prepared(member) for member in (shape, *shape.posterior.shapes)]
        corners = [bounds(replace(one.shape, box=None)) for one in ready]
        lower, upper = np.min([c[0] for c in corners], axis=0), np.max([c[1] for c in corners], axis=0)
        np.testing.assert_allclose(lower, -upper, atol=1e-12)  # centred
        assert float((upper - lower).max()) == pytest.approx(1)
        for one in ready:
            np.testing.assert_allclose(one.extents, upper - lower, atol=1e-12)
            np.testing.assert_array_equal(one.extents, ready[0].extents)


@pytest.mark.parametrize("kind", KINDS)
def test_every_drawn_attribute_shows_in_the_picture(kind):
    """A variable that is drawn and not seen would be a second hidden one, and the posterior would be wrong."""
    spec, source = KINDS[kind], AmbiguousSource(60, kinds=[kind])
    value = next(iter(source.posteriors[kind]))
    shows = set()
    for k in range(30):
        attributes = drawn(spec.drawn, generator(0, kind, k))
        plain = views_of_one(spec, attributes, value)
        for one in spec.drawn:
            for uniform in (0.05, 0.5, 0.95):
                changed = views_of_one(spec, attributes | {one.name: one.draw(uniform)}, value)
                if not np.array_equal(plain.rgba, changed.rgba):
                    shows.add(one.name)
        if len(shows) == len(spec.drawn):
            return
    raise AssertionError(f"{ {one.name for one in spec.drawn} - shows} never show")


def views_of_one(spec, attributes, value):
    shape = spec.build(attributes, value)
    camera = look_at_origin(3, 3, 2.4, focal=140, size=(128, 128))
    return render(prepared(replace(shape, box=(np.full(3, -0.8), np.full(3, 0.8)))).mesh, camera)


@pytest.mark.parametrize("kind", KINDS)
def test_points_of_each_value_lie_on_its_surface(kind):
    shape = objects(kind, 1)[0]
    record = render_object(shape, SMALL, object_generator(0, "a"))
    assert record.posterior.points.shape == (len(shape.posterior.values), 300, 3)
    distance = np.empty((len(shape.posterior.values),) * 2)
    for i, member in enumerate(shape.posterior.shapes):
        ready = prepared(member).shape
        mesh = trimesh.Trimesh(ready.vertices, ready.faces, process=False)
        for j, points in enumerate(record.posterior.points):
            distance[i, j] = trimesh.proximity.closest_point_naive(mesh, points[:100])[1].max()
    assert np.diag(distance).max() < 1e-5
    assert distance[~np.eye(len(distance), dtype=bool)].min() > 0.05  # and not on another's
    own = record.posterior.points[record.posterior.hidden]
    assert not set(map(tuple, own)) & set(map(tuple, record.points))  # an independent sample


def test_the_posterior_adds_up_and_values_occur_as_often_as_it_says():
    source = AmbiguousSource(3000, kinds=["mug_handle", "cabinet_depth"], probabilities={
        "mug_handle": [0.8, 0.2], "cabinet_depth": [0.5, 0.2, 0.3]}, split=(0.9, 0.05, 0.05))  # fmt: skip
    items = source.items()
    for kind, known in source.posteriors.items():
        assert sum(known.values()) == pytest.approx(1)
        for split in ("train", "val"):
            mine = [item.facts["hidden"] for item in items if item.category == kind and item.split == split]
            for value, p in known.items():
                deviation = (p * (1 - p) / len(mine)) ** 0.5
                assert abs(mine.count(value) / len(mine) - p) < 4 * deviation
    assert source.load(items[0]).posterior.probabilities == (0.8, 0.2)


def test_every_test_picture_comes_with_every_value_and_only_there():
    source = AmbiguousSource(50)
    values = Counter((item.split, item.facts["seen"]) for item in source.items())
    for (split, seen), count in values.items():
        modes = 4 if seen.startswith("cabinet_corner") else 2
        assert count == (modes if split == "test" else 1), seen
    assert len({item.object for item in source.items()}) == len(source.items())
    twins = [item for item in source.items() if item.split == "test" and item.category == "mug_handle"][:2]
    one, other = (render_object(source.load(item), replace(SMALL, colour_jitter=1.0, light_jitter=1.0),
                                object_generator(0, item.views_of)) for item in twins)  # fmt: skip
    for first, second in zip(one.views, other.views, strict=True):
        assert first.image.tobytes() == second.image.tobytes()
        assert first.depth.tobytes() == second.depth.tobytes()
        np.testing.assert_array_equal(first.object_to_camera, second.object_to_camera)
    assert (one.posterior.hidden, other.posterior.hidden) == (0, 1)
    np.testing.assert_array_equal(one.posterior.points, other.posterior.points)


def test_objects_do_not_depend_on_how_many_there_are_nor_on_probabilities():
    few, many = AmbiguousSource(3, kinds=["chair_side"]), AmbiguousSource(40, probabilities={"chair_side": [0.1, 0.9]})
    item = few.items()[2]
    one, other = few.load(item), pickle.loads(pickle.dumps(many)).load(item)
    np.testing.assert_array_equal(one.vertices, other.vertices)
    assert few.fingerprint()["chair_side"] == "left:0.5 right:0.5"
    assert many.fingerprint()["chair_side"] == "left:0.1 right:0.9"
    assert len(AmbiguousSource().fingerprint()) == 3 + len(KINDS)


def test_a_camera_that_sees_what_is_hidden_is_found_out():
    shape = objects("cabinet_depth", 1)[0]
    wide = replace(SMALL, view_range=ViewRange(azimuth=(40.0, 50.0), elevation=(20.0, 30.0)))
    with pytest.raises(UnusableMeshError, match=r"azimuth 4\d.\d, elevation 2\d.\d degrees tells the hidden value"):
        render_object(shape, wide, object_generator(0, "a"))
    render_object(replace(shape, posterior=None), wide, object_generator(0, "a"))  # nothing to hide


@pytest.mark.parametrize(("options", "message"), [
    ({"kinds": ["mug_handel"]}, "no ambiguous kind 'mug_handel'; there are .*Did you mean 'mug_handle'"),
    ({"kinds": ["mug_handle", "mug_handle"]}, "named twice"),
    ({"kinds": []}, "at least one kind"),
    ({"objects_per_kind": 0}, "at least 1"),
    ({"probabilities": {"sofa": [1]}}, "no ambiguous kind 'sofa'"),
    ({"probabilities": {"mug_handle": [0.5, 0.6]}}, r"mug_handle must be 2 numbers .* for left, right; got \[0.5"),
    ({"probabilities": {"mug_handle": [1.5, -0.5]}}, "must be 2 numbers from 0 on that add up to 1"),
    ({"probabilities": {"cabinet_depth": [0.5, 0.5]}}, "must be 3 numbers"),
    ({"probabilities": {"cabinet_depth": "abc"}}, "must be 3 numbers"),
    ({"probabilities": {"mug_handle": [float("nan"), 1]}}, "must be 2 numbers"),
    ({"split": (0.5, 0.5, 0.5)}, "three shares"),
])  # fmt: skip
def test_bad_input_is_refused_in_one_sentence(options, message):
    with pytest.raises(UserError, match=message):
        AmbiguousSource(**options)
