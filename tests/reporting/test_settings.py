import pytest

from lit3d.reporting.settings import _part


@pytest.mark.parametrize(("name", "value", "label"), [
    ("_target_", "lit3d.networks.FullyConnectedHead", "FullyConnectedHead"),
    ("head._target_", "lit3d.networks.TwoBranchHead", "head=TwoBranchHead"),
    ("model", "pointset", "pointset"), ("optimizer.lr", "0.001", "optimizer.lr=0.001"), ("lr", "–", ""),
    ("file", "/a/very/long/path/to/some/data/and/more.obj", "file=/a/very/long/pa…ta/and/more.obj"),
])  # fmt: skip
def test_a_part_of_a_label(name, value, label):
    assert _part(name, value) == label
