"""EMD along a line against its pieces and finite differences."""

import csv

import pytest
import torch

from experiments.emd_landscape.figure import draw, stretches, write_table
from experiments.emd_landscape.landscape import default, landscape
from lit3d import ops


@pytest.fixture(scope="module")
def scene():
    return default(120)


def test_the_lower_envelope_of_the_pieces_is_the_exact_distance(scene):
    assert scene.pieces.shape == (120, 6)
    torch.testing.assert_close(scene.pieces.amin(1), scene.emd, rtol=0, atol=1e-14)
    fixed, truth, ends = (torch.rand(k, 3, dtype=torch.float64) for k in (3, 4, 2))  # 4! pieces, in space
    other = landscape(fixed, truth, *ends, count=15)
    for i, point in enumerate(other.moving):
        x = torch.cat([fixed, point[None]])[None]
        assert float(ops.emd(x, truth[None])) == pytest.approx(float(other.pieces[i].min()), rel=1e-12)


def test_the_slope_is_the_difference_quotient_away_from_kinks_and_jumps_down_only_there(scene):
    step, kinks = scene.at[1] - scene.at[0], set(scene.kinks())
    assert len(kinks) == 3
    slopes = scene.slopes["emd"]
    for i in range(1, len(scene.at) - 1):
        if not kinks & {i, i + 1}:
            quotient = (scene.emd[i + 1] - scene.emd[i - 1]) / (2 * step)
            assert float(slopes[i]) == pytest.approx(float(quotient), abs=4e-3)
    jumps = slopes.diff()
    for i, jump in enumerate(jumps.tolist(), start=1):
        assert jump < -0.15 if i in kinks else jump > -0.01
    smooth = scene.slopes["sinkhorn 0.3"].diff()
    assert all(abs(float(smooth[k - 1])) < 0.02 for k in kinks)


def test_continuity_no_step_is_longer_than_the_point_moves(scene):
    """A point that moves by h changes a mean of n distances by h / n at most."""
    step = float(scene.at[1] - scene.at[0])
    assert float(scene.emd.diff().abs().max()) <= step / 3 + 1e-12


def test_figure_and_table(scene, tmp_path):
    assert [part.stop - part.start for part in stretches(scene)] == pytest.approx([31, 41, 15, 33], abs=1)
    draw(scene, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 10_000
    write_table(scene, tmp_path / "table.csv")
    with (tmp_path / "table.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 120
    assert float(rows[7]["emd"]) == pytest.approx(float(scene.emd[7]), abs=1e-6)
    assert rows[0]["bijection"] == "1 0 2"
