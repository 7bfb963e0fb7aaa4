"""Settings of a loss are refused before a run, by the loss itself."""

import pytest
import torch

from lit3d.build import build_terms, plain
from lit3d.config import compose, groups
from lit3d.errors import UserError
from lit3d.losses import Term, check_sizes, try_terms


def terms_of(*overrides):
    return build_terms(plain(compose("run", [*overrides, "paths.output=x"]))["loss"])


@pytest.mark.parametrize("loss", [path.stem for path in groups()["loss"]])
def test_every_loss_of_the_configs_passes(loss):
    try_terms(terms_of(f"loss={loss}"))


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["loss=cd", "loss.cd.weights=[0,0]"], "loss 'cd': weights must be two finite numbers .* not both 0"),
        (["loss=cd_l1", "loss.cd_l1.weights=[1,-1]"], "loss 'cd_l1': weights .* 0 or more"),
        (["loss=sinkhorn", "loss.sinkhorn.blur=-0.01"], "loss 'sinkhorn': blur is a length"),
        (["loss=[emd,dcd]", "loss.dcd.alpha=0.0"], "loss 'dcd': alpha must be a positive finite number"),
        (["loss=silog", "loss.silog.form=kitti"], "loss 'silog': form must be one of eigen, root, bts"),
        (["loss=[l1,depth_normal]", "loss.depth_normal.window=2"], "loss 'depth_normal': window must be an odd"),
        (["loss=consistency", "loss.consistency.jump=-0.1"], "loss 'consistency': jump must be above 0"),
        (["loss=sliced", "loss.sliced.projections=0"], "loss 'sliced': expected at least one projection"),
        (["loss=cd", "loss.cd.weights=3"], "loss 'cd' does not take what loss.cd holds"),
        (["loss=emd", "+loss.emd.blur=0.1"], "loss 'emd' does not take what loss.emd holds: .*blur"),
    ],
)
def test_what_cannot_be_is_one_sentence_with_the_name(overrides, sentence):
    with pytest.raises(UserError, match=sentence):
        try_terms(terms_of(*overrides))


def test_one_sided_weights_from_a_command_line():
    (term,) = terms_of("loss=cd", "loss.cd.weights=[0,1]")
    x = torch.rand(1, 5, 3)
    assert float(term.function(x, x[:, :2])) == 0  # each true point has a predicted one


def test_a_loss_that_needs_larger_sets_is_left_to_the_run():
    def choosy(pred, target):
        raise IndexError("at least 100 points")

    try_terms([Term("choosy", choosy, "points", "points"), Term("deep", choosy, "depth", "depth")])


@pytest.mark.parametrize("loss", ["emd", "emd_squared", "l2_ordered"])
def test_a_loss_over_pairs_needs_as_many_true_points(loss):
    terms = terms_of("loss=[cd,sinkhorn]") + terms_of(f"loss={loss}")
    for n, m in ((10, 10), (10, 11), (None, 3)):
        check_sizes(terms, n, m)
    with pytest.raises(UserError, match=f"'{loss}' pairs .* model.points is 11 and data.points only 10: set data.p"):
        check_sizes(terms, 11, 10)
    check_sizes(terms_of("loss=[cd,cd_l1,sinkhorn,sliced,dcd,hypercd,infocd]"), 11, 10)
