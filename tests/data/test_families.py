"""Shape families: points on the shapes, evenly; hidden numbers with the distribution that is said."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
import trimesh
from scipy import stats

from lit3d.config import compose, groups
from lit3d.data import families, hidden
from lit3d.data.family_module import FamilyDataModule
from lit3d.data.grammar_family import grammar_family
from lit3d.errors import UserError
from lit3d.synthesis import grammar
from lit3d.synthesis.shape import bounds, normalised


def family(name, *overrides):
    from lit3d.build import instantiate, plain

    overrides = ["experiment=mean_shape", f"data/family={name}", "paths.output=x", *overrides]
    return instantiate(plain(compose("run", overrides))["data"]["family"])


NAMES = [path.stem for path in groups()["data/family"]]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("sampling", families.STRATEGIES)
def test_every_family_gives_finite_points_of_its_dimension(name, sampling):
    one = family(name)
    points = one.points(families.shares(6, "iid"), 40, sampling)
    assert points.shape == (6, 40, one.dimension)
    assert points.isfinite().all()
    assert 0.05 < float(points.std(dim=1).mean()) < 1  # in units of the longest side, not degenerate


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (hidden.Uniform(-1, 3), stats.uniform(-1, 4)),
        (hidden.LogNormal(0.5, 0.5), stats.lognorm(s=0.5, scale=0.5)),
        (hidden.Beta(2, 5, 0.4, 1), stats.beta(2, 5, 0.4, 0.6)),
    ],
)
def test_quantiles_and_means_are_scipys(ours, theirs):
    share = torch.linspace(0.001, 0.999, 97)
    np.testing.assert_allclose(ours.quantile(share), theirs.ppf(share.double()), rtol=2e-5, atol=1e-6)
    assert ours.mean == pytest.approx(theirs.mean())


def test_a_choice_comes_as_often_as_it_should():
    chosen = hidden.Choice(3, [0.2, 0.0, 0.8]).quantile((torch.arange(1000) + 0.5) / 1000)
    assert [(chosen == k).sum() for k in range(3)] == [200, 0, 800]
    assert hidden.Choice(4).mean == pytest.approx(1.5)
    assert hidden.Presence(0.3).quantile(torch.tensor([0.0, 0.69, 0.71, 0.999])).tolist() == [0, 0, 1, 1]
    assert hidden.Presence(0.0).quantile(torch.rand(50)).sum() == 0
    assert hidden.Presence(1.0).quantile(torch.rand(50)).sum() == 50


@pytest.mark.parametrize(
    "make",
    [
        lambda: hidden.Uniform(1, 1),
        lambda: hidden.LogNormal(0.5, 0),
        lambda: hidden.Beta(0, 1),
        lambda: hidden.Choice(0),
        lambda: hidden.Choice(2, [0.5, 0.4]),
        lambda: hidden.Choice(2, [1.5, -0.5]),
        lambda: hidden.Presence(1.2),
    ],
)
def test_distributions_that_are_none_are_refused(make):
    with pytest.raises(UserError, match="hidden needs"):
        make()


def test_stratified_numbers_have_one_in_each_part_in_random_order():
    draw = torch.Generator().manual_seed(0)
    drawn = torch.stack([families.shares(8, "stratified", draw) for _ in range(2000)])
    assert torch.equal((drawn * 8).long().sort(dim=1).values, torch.arange(8).expand(2000, 8))
    assert abs(float(drawn[:, 0].mean()) - 0.5) < 0.03  # the first is not always the smallest
    assert stats.kstest(drawn.flatten().numpy(), "uniform").pvalue > 1e-3


def test_the_lattice_is_equispaced_along_the_first_axis_and_each_point_is_uniform():
    draw = torch.Generator().manual_seed(1)
    u = families.parameters(400, 50, "stratified", draw)
    steps = u[:, :, 0].sort(dim=1).values.diff(dim=1)
    torch.testing.assert_close(steps, torch.full_like(steps, 1 / 50), atol=1e-5, rtol=0)
    for axis in range(3):
        assert stats.kstest(u[:, 0, axis].numpy(), "uniform").pvalue > 1e-3
    first = u[0, :10, 0]
    assert not torch.equal(first, first.sort().values)  # no order


def test_the_lattice_is_more_even_in_the_plane_than_chance():
    draw = torch.Generator().manual_seed(2)
    counts = {}
    for sampling in families.STRATEGIES:
        cells = (families.parameters(20, 256, sampling, draw)[..., :2] * 8).long()
        counts[sampling] = torch.stack([(c[:, 0] * 8 + c[:, 1]).bincount(minlength=64) for c in cells]).float().var()
    assert counts["stratified"] < 0.35 * counts["iid"]  # of 4 points a cell


def test_circles_and_spheres_have_their_radius():
    radius, u = torch.tensor([0.2, 0.7]), torch.rand(2, 500, 3)
    for shape in (families.circle, families.sphere):
        torch.testing.assert_close(shape(radius, u).norm(dim=-1), radius[:, None].expand(2, 500))
    heights = families.sphere(torch.ones(1), torch.rand(1, 4000, 3))[0, :, 0]  # uniform along any axis (Archimedes)
    assert stats.kstest(heights.numpy(), stats.uniform(-1, 2).cdf).pvalue > 1e-3


def distance_to_segments(points, ends):
    """Naive: the smallest distance of each point to any segment."""
    best = np.full(len(points), np.inf)
    for a, b in pairwise(ends):
        t = np.clip((points - a) @ (b - a) / ((b - a) @ (b - a)), 0, 1)
        best = np.minimum(best, np.linalg.norm(points - a - t[:, None] * (b - a), axis=1))
    return best


def test_the_arc_lies_on_its_spikes_and_moves_along_the_diagonal():
    u = torch.rand(1, 2000, 3)
    here, there = (families.arc(torch.tensor([h]), u)[0] for h in (0.0, 0.3))
    torch.testing.assert_close(there - here, torch.full((2000, 2), 0.3 / math.sqrt(2)))
    angle = np.linspace(0, np.pi, 13)
    ends = np.stack([np.cos(angle), np.sin(angle)], 1) * np.where(np.arange(13) % 2, 0.5, 0.3)[:, None]
    on = distance_to_segments(here.numpy(), ends - (0, 0.25))
    assert on.max() < 1e-5
    lengths = np.linalg.norm(np.diff(ends, axis=0), axis=1)
    piece = np.searchsorted(np.cumsum(lengths) / lengths.sum(), u[0, :, 0].numpy())
    assert np.bincount(piece, minlength=12) == pytest.approx(2000 * lengths / lengths.sum(), abs=70)


def test_a_quarter_of_the_points_is_in_the_square_and_the_disk():
    u = families.parameters(4, 200, "stratified")
    points = families.corners(torch.arange(4.0), u)
    for k, place in enumerate(families.CORNERS):
        square = (points[k] - place).abs().amax(1) <= 0.1501
        bar = (points[k].abs() <= families.BAR / 2 + 1e-4).all(1)
        assert 50 <= square.sum() <= 52  # they share an edge
        assert (bar | square).all()
    bar, both = families.bar_and_disk(torch.tensor([0.0, 1.0]), u[:2])
    assert ((bar.abs() <= families.BAR / 2 + 1e-4).all(1)).all()
    assert ((both - families.DISK).norm(dim=1) <= families.DISK_RADIUS + 1e-4).sum() == 50


def test_the_knob_sits_on_the_side_of_a_cube():
    points = families.knob(torch.arange(4.0), families.parameters(4, 600, "stratified"))
    ways = torch.tensor([[1.0, 0, 0], [-1, 0, 0], [0, 0, 1], [0, 0, -1]]) * 0.47
    for k in range(4):
        knob = ((points[k] - ways[k]).norm(dim=1) - 0.12).abs() < 1e-4
        cube = (points[k].abs().amax(1) - 0.35).abs() < 1e-4
        assert knob.sum() == 120
        assert (knob | cube).all()
        faces = [(points[k][cube, axis] * sign > 0.3499).sum() for axis in range(3) for sign in (1, -1)]
        assert [int(count) for count in faces] == pytest.approx([80] * 6, abs=12)


def test_members_stand_for_all_and_answers_are_the_median_and_the_mean():
    disk = family("disk", "data.family.hidden.probability=0.7")
    assert disk.hidden.quantile(disk.members(128)).tolist() == [0, 1]
    assert disk.answer("median").tolist() == [1]
    circle = family("circle")
    assert len(circle.members(128)) == 128
    assert float(circle.answer("median")) == pytest.approx(0.5)
    assert float(circle.answer("mean")) == pytest.approx(0.5 * math.exp(0.125))


def test_grammar_points_lie_on_the_mesh_uniformly_in_one_box_for_all():
    one = grammar_family("x", "mug", "handle_angle", seed=3)
    values = grammar.draw("mug", np.random.default_rng(3))
    middle = bounds(grammar.build("mug", values | {"handle_angle": 180.0}))
    points = one.shape(torch.tensor([0.25, 0.5]), torch.rand(2, 400, 3))
    for found, angle in zip(points, (90.0, 180.0), strict=True):
        built = grammar.build("mug", values | {"handle_angle": angle})
        mesh = trimesh.Trimesh(normalised(built.vertices, *middle), built.faces, process=False)
        for point in found[:40].double().numpy():
            many = np.tile(point, (len(mesh.triangles), 1))
            nearest = trimesh.triangles.closest_point(mesh.triangles, many)
            assert np.linalg.norm(nearest - point, axis=1).min() < 1e-5
    # by area: the first parameter runs through the faces in proportion to theirs
    built = grammar.build("mug", values | {"handle_angle": 180.0})
    mesh = trimesh.Trimesh(normalised(built.vertices, *middle), built.faces, process=False)
    ticks = torch.zeros(1, 4000, 3)
    ticks[..., 0], ticks[..., 1:] = (torch.arange(4000) + 0.5) / 4000, 1 / 3
    heights = one.shape(torch.tensor([0.5]), ticks)[0, :, 1].double().numpy()
    spots = mesh.triangles[:, :, 1] @ [1 - 3**-0.5, 3**-0.5 * 2 / 3, 3**-0.5 / 3]
    assert heights.mean() == pytest.approx(np.average(spots, weights=mesh.area_faces), abs=2e-3)


def test_a_grammar_choice_comes_with_its_weights():
    one = grammar_family("x", "mug", "handle")
    assert one.hidden.probabilities.tolist() == pytest.approx([3 / 9.5, 2 / 9.5, 2 / 9.5, 1.5 / 9.5, 1 / 9.5])
    assert one.shape.spec.draw(one.shape.share(3)) == "hook"
    with pytest.raises(UserError, match="no attribute 'handel'.*Did you mean 'handle"):
        grammar_family("x", "mug", "handel")


def test_batches_are_a_function_of_seed_and_step():
    def module(seed=0, **options):
        return FamilyDataModule("x", family("circle"), points=20, seed=seed, **options)

    one, again, other = module().batch(7), module().batch(7), module(1).batch(7)
    assert torch.equal(one["points"], again["points"])
    assert not torch.equal(one["points"], other["points"])
    assert not torch.equal(one["points"], module().batch(8)["points"])
    assert not torch.equal(one["points"], module().batch(7, purpose=1)["points"])
    torch.testing.assert_close(one["points"].norm(dim=-1), one["hidden"][:, None].expand(8, 20))
    alone = module(sampling="iid").batch(7)["points"]
    gaps = torch.atan2(alone[0, :, 1], alone[0, :, 0]).sort().values.diff()
    assert gaps.max() > 3 * gaps.median()


def test_hidden_numbers_are_stratified_over_steps_too():
    module = FamilyDataModule("x", family("circle_uniform"), points=1)
    shares = torch.stack([(module.batch(step)["hidden"] - 0.2) / 0.3 for step in range(55)])
    assert torch.equal((shares * 8).long().sort(dim=1).values, torch.arange(8).expand(55, 8))
    cells = (shares.flatten() * 8 * 5).long().bincount(minlength=40)  # 11 numbers in each fifth of each part
    assert (cells - 11).abs().max() <= 1


def test_a_union_takes_its_points_from_all_members():
    module = FamilyDataModule("x", family("corners"), points=20)
    points = module.union(400)
    shares = [((points - place).abs().amax(1) < 0.1501).sum() / 400 for place in families.CORNERS]
    assert [float(s) for s in shares] == pytest.approx([0.0625] * 4, abs=0.03)


@pytest.mark.parametrize("options", [{"points": 0}, {"batch_size": 0}, {"test_batches": 0}, {"sampling": "even"},
                                     {"hidden_sampling": "no"}])  # fmt: skip
def test_numbers_and_words_that_cannot_be_are_refused(options):
    with pytest.raises(UserError, match=rf"data\.{next(iter(options))} must be"):
        FamilyDataModule("x", family("circle"), **options)


def test_a_family_of_another_dimension_than_it_says_is_refused():
    with pytest.raises(UserError, match=r"family 'x' must give points of shape \(2, 5, 3\).*got \(2, 5, 2\)"):
        families.Family("x", families.circle, hidden.Uniform(), dimension=3)
    with pytest.raises(UserError, match="median and mean, got mode"):
        families.Family("x", families.circle, hidden.Uniform(), analytic=["mode"])


def test_networks_that_read_images_are_refused():
    with pytest.raises(UserError, match="no 'image'"):
        FamilyDataModule("x", family("circle")).need(["image"])
