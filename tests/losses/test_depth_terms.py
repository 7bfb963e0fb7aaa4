"""The depth losses as terms: each YAML file names tensors and keys in the order that its function takes."""

from dataclasses import dataclass

import pytest
import torch

from lit3d.build import build_terms, plain
from lit3d.config import compose
from lit3d.structures import Structure

NAMES = ["l1", "l2", "berhu", "silog", "ssi", "gradient", "edge_aware_smoothness", "depth_normal", "consistency",
         "virtual_normal", "normal", "mask"]  # fmt: skip


@dataclass(frozen=True)
class Map(Structure):
    """A depth map with both heads."""

    depth: torch.Tensor
    normal: torch.Tensor
    mask_logits: torch.Tensor


def tensors():
    g = torch.Generator().manual_seed(0)
    truth = 2 + 0.02 * torch.rand(2, 1, 20, 24, generator=g)
    normal = torch.nn.functional.normalize(torch.randn(2, 3, 20, 24, generator=g), dim=1)
    k = torch.tensor([[30.0, 0, 12], [0, 30, 10], [0, 0, 1]]).expand(2, 3, 3)
    batch = {"depth": truth, "mask": torch.rand(2, 1, 20, 24, generator=g) < 0.8, "normal": normal, "intrinsics": k,
             "image": torch.rand(2, 3, 20, 24, generator=g)}  # fmt: skip
    made = Map(truth + 0.1 * torch.rand(truth.shape, generator=g), normal.roll(1, 2), torch.randn(truth.shape))
    return Map(*(t.requires_grad_() for t in (made.depth, made.normal, made.mask_logits))), batch


def terms(*overrides):
    return build_terms(plain(compose("run", [*overrides, "paths.output=x"]))["loss"])


@pytest.mark.parametrize("name", NAMES)
def test_each_file_gives_a_positive_loss_with_gradients_to_all_it_reads(name):
    prediction, batch = tensors()
    (term,) = terms(f"loss={name}")
    value = term(prediction, batch)
    assert value.shape == (2,)
    assert (value > 0).all()
    value.sum().backward()
    for read in term.reads:
        assert getattr(prediction, read).grad.abs().sum() > 0


def test_defaults_of_two_in_one_line_weigh_alike():
    prediction, batch = tensors()
    size = {}
    for term in terms("loss=[l1,depth_normal]"):
        gradient = torch.autograd.grad(term(prediction, batch).mean() * term.factor(0), prediction.depth)[0]
        size[term.name] = float(gradient.norm())
    assert list(size) == ["l1", "depth_normal"]
    assert 0.1 < size["depth_normal"] / size["l1"] < 10
