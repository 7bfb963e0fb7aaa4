"""Normals and their sides against boxes and spheres, which are known, and against loops and linear systems."""

from itertools import combinations

import numpy as np
import pytest
import torch
import trimesh

from lit3d.ops import orientation
from lit3d.ops.normals import ENOUGH, NEAR, PAIRS, _best, estimated_normals, noise_width, patches
from lit3d.ops.orientation import _all_around, _seen, _settled, outward


def boxes(*placed, count=3000):
    """Points and outward normals of boxes, each its sides and its centre."""
    parts = [trimesh.creation.box(sides).apply_translation(middle) for sides, middle in placed]
    mesh = trimesh.util.concatenate(parts)
    points, faces = trimesh.sample.sample_surface(mesh, count, seed=0)
    return torch.from_numpy(points).float(), torch.from_numpy(mesh.face_normals[faces]).float()


def ball(count=3000, noise=0.0):
    draw = torch.Generator().manual_seed(0)
    normals = torch.nn.functional.normalize(torch.randn(count, 3, generator=draw), dim=1)
    return 0.5 * normals + noise * torch.randn(count, 3, generator=draw), normals


def test_edges_stay_sharp_where_there_is_no_noise():
    points, normals = boxes(((1.0, 0.6, 0.2), (0, 0, 0)))
    angle = (estimated_normals(points) * normals).sum(-1).abs()
    assert (angle > 0.999).float().mean() > 0.95
    near = (torch.tensor([0.5, 0.3, 0.1]) - points.abs()).lt(patches(points).apart).sum(-1) > 1
    assert near.float().mean() > 0.1
    assert (angle[near] > 0.99).float().mean() > 0.75


def test_noise_is_read_off_the_set_and_averaged():
    points, normals = ball()
    apart = patches(points).apart
    noisy, _ = ball(noise=0.3 * apart)
    widths = [noise_width(patches(p), normals.double().numpy()) for p in (points, noisy)]
    assert widths[0] < 0.1 < widths[1]
    angle = (estimated_normals(noisy) * normals).sum(-1).abs().clamp(max=1).arccos().rad2deg()
    assert angle.median() < 15  # the neighbours that a plane is fitted to lie two spacings away


def test_planes_are_chosen_as_a_loop_chooses_them():
    around = patches(boxes(((1.0, 0.6, 0.2), (0, 0, 0)), count=200)[0])
    given = np.random.default_rng(0).normal(size=(200, 5, 3))
    given /= np.linalg.norm(given, axis=-1, keepdims=True)
    _, score = _best(around, given, 0.1)

    def held(i, normal):
        return sum(c / (1 + (to @ normal / 0.1) ** 2) for c, to in zip(around.close[i], around.to[i], strict=True))

    for i in range(0, 200, 20):
        normal = max(given[i], key=lambda n, i=i: held(i, n))
        near = list(zip(around.close[i], around.to[i], strict=True))
        for _ in range(2):
            spread = sum(c / (1 + (to @ normal / 0.1) ** 2) ** 2 * np.outer(to, to) for c, to in near)
            normal = np.linalg.eigh(spread)[1][:, 0]
        assert score[i] == pytest.approx(held(i, normal), rel=1e-6)
    assert len(list(combinations(range(PAIRS), 2))) == 15
    assert NEAR > PAIRS
    assert 0 < ENOUGH < 1


def test_of_a_convex_body_exactly_the_front_is_seen():
    points, normals = boxes(((1.0, 0.6, 0.4), (0, 0, 0)))
    apart = patches(points).apart
    for view in _all_around(12):
        seen = _seen(points, normals, apart, view, 0.05)
        cosine = normals @ view[2]
        front, back = cosine > 0.26, cosine < -0.26
        assert (seen[front] > 0).float().mean() > 0.8  # discs stand over edges, which hides what lies just beyond
        assert (seen[back] < 0).float().mean() < 0.03  # through holes between points
        torch.testing.assert_close(seen[seen > 0], cosine[seen > 0] ** 2)
        assert (seen[cosine.abs() < 0.24] == 0).all()


def test_neighbours_settle_as_the_linear_system_does(monkeypatch):
    points, normals = boxes(((1.0, 0.6, 0.3), (0, 0, 0)), count=300)
    around, given = patches(points), normals.double().numpy()
    votes = np.random.default_rng(0).normal(size=300)
    system = np.zeros((300, 300))
    for i in range(300):
        for k, j in enumerate(around.neighbours[i]):
            alike = given[i] @ given[j]
            off = [abs(around.to[i, k] @ given[m]) / 0.1 for m in (i, j)]
            system[i, j] -= around.close[i, k] * alike * abs(alike) / (1 + off[0] ** 2) ** 2 / (1 + off[1] ** 2) ** 2
        system[i, i] = orientation.OWN - system[i].sum() if (system[i] <= 0).all() else np.nan
    known = np.isfinite(np.diag(system))
    assert known.all()  # normals of a box: none is opposite to that of a neighbour on its plane
    monkeypatch.setattr(orientation, "ROUNDS", 4000)
    wanted = np.linalg.solve(system, orientation.OWN * votes)
    np.testing.assert_allclose(_settled(votes, around, given, 0.1), wanted, atol=1e-6)


@pytest.mark.parametrize("flipped", [False, True])
def test_sides_do_not_depend_on_the_sign_that_normals_came_with(flipped):
    points, normals = ball()
    sign = torch.where(torch.rand(3000, 1, generator=torch.Generator().manual_seed(1)) < 0.5, -1.0, 1.0)
    found = outward(points, normals * (sign if flipped else 1))
    assert ((found * normals).sum(-1) > 0).float().mean() > 0.999


def test_boards_thinner_than_points_are_apart_and_boards_beside_each_other_keep_their_sides():
    apart = 0.03
    thin = ((1.0, 0.6, 0.6 * apart), (0, 0, 0))
    pair = [((1.0, 0.6, 2 * apart), (0, 0, z)) for z in (-2.5 * apart, 2.5 * apart)]  # a gap of three spacings
    for scene, count in (([thin], 1400), (pair, 3000)):
        points, normals = boxes(*scene, count=count)
        assert patches(points).apart == pytest.approx(apart, rel=0.3)
        found = outward(points, estimated_normals(points))
        flat = normals[:, 2].abs() > 0.5
        assert ((found * normals).sum(-1) > 0.9)[flat].float().mean() > 0.93
