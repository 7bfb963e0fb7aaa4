from functools import partial

import pytest
import torch

from lit3d.errors import UserError
from lit3d.networks import FullyConnectedHead, PointSetNet, SmallEncoder
from lit3d.networks.pointset import fixed_noise, in_pairs


def net(points=100, noise=0, **encoder):
    return PointSetNet(
        SmallEncoder(channels=(8, 16), code=32, **encoder), partial(FullyConnectedHead, hidden=(16,)), points, noise
    )


@pytest.mark.parametrize("points", [1, 7, 100])
@pytest.mark.parametrize("size", [16, (8, 24)])
def test_cardinality(points, size):
    h, w = (size, size) if isinstance(size, int) else size
    prediction = net(points, image_size=size)({"image": torch.rand(3, 3, h, w)})
    assert prediction.points.shape == (3, points, 3)


def test_it_begins_as_a_ball_inside_the_object():
    torch.manual_seed(0)
    with torch.no_grad():
        points = net(1000, image_size=16).eval()({"image": torch.rand(1, 3, 16, 16)}).points
    radius = points.norm(dim=-1)
    assert 0.1 < float(radius.mean()) < 0.4
    assert float(points.mean(1).norm()) < 0.1


def test_every_parameter_gets_a_gradient():
    network = net(image_size=16)
    network({"image": torch.rand(2, 3, 16, 16)}).points.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_impossible_sizes_are_refused():
    with pytest.raises(UserError, match="multiple of 4, but images are 18 x 18"):
        net(image_size=18)
    with pytest.raises(UserError, match=r"model\.points must be at least 1, got 0"):
        net(0, image_size=16)


@pytest.mark.parametrize("head", ["fc", "upconv", "hourglass"])
def test_random_vectors_give_different_sets_and_learn(head):
    from lit3d.networks import HourglassHead, UpconvolutionHead

    torch.manual_seed(0)
    heads = {"fc": FullyConnectedHead, "upconv": UpconvolutionHead, "hourglass": HourglassHead}
    network = PointSetNet(SmallEncoder(channels=(8, 16), code=32, image_size=16), heads[head], 50, noise=6).eval()
    image, noise = torch.rand(2, 3, 16, 16), torch.randn(2, 3, 6, requires_grad=True)
    sets = network.hypotheses(image, noise)
    assert sets.shape == (2, 3, 50, 3)
    for i in range(3):  # one by one, without the shared encoding
        alone = network({"image": image, "noise": noise[:, i]}).points
        torch.testing.assert_close(sets[:, i], alone, rtol=1e-4, atol=1e-5)
    assert float((sets[:, 0] - sets[:, 1]).abs().amax((1, 2)).min()) > 1e-3
    (slope,) = torch.autograd.grad(sets[:, 1].square().sum(), noise)
    assert (slope[:, 1].abs().amax(1) > 0).all()
    assert float(slope[:, [0, 2]].abs().max()) == 0


def test_fixed_vectors_are_normal_and_do_not_depend_on_how_many_there_are():
    state = torch.get_rng_state()
    many = fixed_noise(40, 100)
    assert torch.equal(fixed_noise(3, 100), many[:3])
    assert torch.equal(torch.get_rng_state(), state)
    assert abs(float(many.mean())) < 0.05
    assert float(many.std()) == pytest.approx(1, abs=0.05)
    network = net(noise=100, image_size=16).eval()
    image = torch.rand(2, 3, 16, 16)
    torch.testing.assert_close(network.hypotheses(image, 2)[:, 0], network({"image": image}).points)


def test_a_random_vector_is_a_function_of_seed_step_rank_and_purpose():
    from lit3d.modules.randomness import generator

    def draw(*arguments):
        return torch.randn(8, generator=generator(*arguments)).tolist()

    first = draw(0, 1, 2, "noise")
    assert draw(0, 1, 2, "noise") == first
    others = [(1, 1, 2, "noise"), (0, 2, 2, "noise"), (0, 1, 0, "noise"), (0, 1, 2, "other"), (0, 12, 0, "noise")]
    assert all(draw(*other) != first for other in others)


def test_several_answers_need_random_vectors():
    with pytest.raises(UserError, match=r"length 0, got 0.*model\.noise"):
        net(image_size=16).hypotheses(torch.rand(1, 3, 16, 16), 2)
    with pytest.raises(UserError, match="length 4, got 5"):
        net(noise=4, image_size=16).hypotheses(torch.rand(1, 3, 16, 16), torch.zeros(1, 2, 5))
    with pytest.raises(UserError, match="at least 0, got -1"):
        net(noise=-1, image_size=16)


def test_a_batch_may_bring_several_random_vectors():
    network = net(20, noise=5, image_size=16).eval()
    image, noise = torch.rand(2, 3, 16, 16), torch.randn(2, 3, 5)
    prediction = network({"image": image, "noise": noise})
    torch.testing.assert_close(prediction.hypotheses, network.hypotheses(image, noise))
    assert torch.equal(prediction.points, prediction.hypotheses[:, 0])
    one = prediction.select(1)
    assert one.hypotheses.shape == (1, 3, 20, 3)
    assert network({"image": image, "noise": noise[:, 0]}).hypotheses is None


def test_several_hypotheses_bring_a_random_vector_along():
    encoder = partial(SmallEncoder, channels=(8, 16), code=32, image_size=16)
    assert PointSetNet(encoder(), FullyConnectedHead, 4, noise=None).noise == 0
    assert PointSetNet(encoder(), FullyConnectedHead, 4, noise=None, hypotheses=2).noise == 16
    assert PointSetNet(encoder(), FullyConnectedHead, 4, noise=3, hypotheses=2).noise == 3
    with pytest.raises(UserError, match=r"model\.hypotheses=2 answers differ .* model\.noise is 0"):
        PointSetNet(encoder(), FullyConnectedHead, 4, noise=0, hypotheses=2)
    with pytest.raises(UserError, match=r"model\.hypotheses is .* at least 1, got 0"):
        PointSetNet(encoder(), FullyConnectedHead, 4, hypotheses=0)


def test_vectors_in_pairs_are_on_both_sides_of_any_plane():
    drawn = torch.randn(3, 2, 5)
    for count in (3, 4):
        vectors = in_pairs(drawn, count)
        assert vectors.shape == (3, count, 5)
        assert torch.equal(vectors[:, 0], drawn[:, 0])
        assert torch.equal(vectors[:, 1], -drawn[:, 0])
        assert torch.equal(vectors[:, 2], drawn[:, 1])
    assert torch.equal(fixed_noise(1, 7)[0], torch.randn(7, generator=torch.Generator().manual_seed(0)))
    sides = fixed_noise(8, 7) @ torch.randn(7, 100) > 0
    assert sides.any(0).all()
    assert not sides.all(0).any()
