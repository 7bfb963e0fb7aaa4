"""The row clustering: descriptions, clusters, their means, and the classifier."""

import numpy as np
import torch
from scipy.spatial import cKDTree

from lit3d.callbacks.clusters import BASIS, assign, basis, describe, fit, means


def shapes(count, points=300, seed=0):
    return torch.rand(count, points, 3, generator=torch.Generator().manual_seed(seed)) - 0.5


def test_descriptions_are_distances_to_fixed_points():
    some = shapes(3, 200)
    found = describe(some)
    assert found.shape == (3, BASIS)
    for shape, row in zip(some.numpy(), found, strict=True):
        assert np.allclose(cKDTree(shape).query(basis().numpy())[0], row, atol=1e-6)
    assert torch.equal(describe(some.flip(1)), found)  # a set has no order


def test_groups_that_lie_apart_are_found_whatever_their_order():
    generator = torch.Generator().manual_seed(0)
    truth = torch.randint(4, (80,), generator=generator)
    points = torch.eye(4)[truth] * 9 + torch.rand(80, 4, generator=generator)
    labels = assign(points, 8)
    assert sorted(labels.unique().tolist()) == list(range(int(labels.max()) + 1))  # no empty cluster
    assert all(len(truth[labels == c].unique()) == 1 for c in labels.unique())
    assert torch.equal(assign(points, 8), labels)
    assert assign(points, 1).unique().tolist() == [0]


def test_clusters_that_run_empty_drop_out():
    twice = torch.zeros(6, 3)
    twice[0] = 1
    assert sorted(assign(twice, 5).unique().tolist()) == [0, 1]


def test_a_mean_holds_points_of_its_members_alone_and_exactly_n():
    some, labels = shapes(6, 20), torch.tensor([0, 1, 0, 2, 1, 0])
    found = means(some, labels, 50)
    assert found.shape == (3, 50, 3)
    for c in range(3):
        assert cKDTree(some[labels == c].flatten(0, 1).numpy()).query(found[c].numpy())[0].max() == 0
    assert len(found[0].unique(dim=0)) == 50  # of 60: none twice
    assert len(found[2].unique(dim=0)) == 20  # of 20: all


def test_the_classifier_learns_what_pictures_show_and_draws_nothing_from_the_global_generator():
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(128) % 3
    images = torch.rand(128, 768, generator=generator) * 0.3 + labels[:, None] * 0.3
    before = torch.get_rng_state()
    network = fit(images, labels)
    assert torch.equal(torch.get_rng_state(), before)
    with torch.no_grad():
        assert (network(images).argmax(1) == labels).float().mean() > 0.9
    again = fit(images, labels).state_dict()
    assert all(torch.equal(again[k], v) for k, v in network.state_dict().items())


def test_one_picture_is_one_cluster():
    with torch.no_grad():
        assert fit(torch.rand(1, 768), torch.zeros(1, dtype=torch.long))(torch.rand(2, 768)).argmax(1).tolist() == [
            0,
            0,
        ]
