"""Backgrounds and colours: what changes, what must not, against formulas in plain loops and by other libraries."""

import colorsys

import numpy as np
import pytest
from PIL import Image

from lit3d.config import compose
from lit3d.data import Augment, DatasetReader, ViewDataset
from lit3d.data import backgrounds as bg
from lit3d.data.augment import composite, hue_turn, over, recoloured
from lit3d.errors import UserError
from lit3d.synthesis import GrammarSource, SynthesisSettings, synthesize


def generator(seed=0):
    return np.random.default_rng(seed)


@pytest.fixture
def rgba():
    """A disc with a soft edge, coloured anyhow, also where nothing of it is seen."""
    y, x = np.mgrid[:20, :20] - 9.5
    alpha = np.clip(8 - np.hypot(x, y), 0, 1) * 255
    return np.dstack([generator().integers(0, 256, (20, 20, 3)), alpha]).astype(np.uint8)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "sub").mkdir()
    Image.fromarray(generator().integers(0, 256, (40, 700, 3)).astype(np.uint8)).save(tmp_path / "a.png")
    Image.new("L", (300, 900), 77).save(tmp_path / "sub" / "b.jpg")
    return tmp_path


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    root = tmp_path_factory.mktemp("augment") / "set"
    synthesize(GrammarSource(2, categories=["mug"]), root, SynthesisSettings(views=2, points=200, workers=1))
    return DatasetReader(root)


def test_alpha_mixes_object_and_background_pixel_by_pixel(rgba):
    background = generator(1).random((20, 20, 3), np.float32)
    got = composite(rgba, background)
    for y in range(20):
        for x in range(20):
            a = rgba[y, x, 3] / 255
            np.testing.assert_allclose(got[y, x], a * rgba[y, x, :3] / 255 + (1 - a) * background[y, x], atol=1e-6)
    assert ((rgba[..., 3] > 0) & (rgba[..., 3] < 255)).sum() > 20  # an edge was there to be mixed


def test_one_colour_gives_the_same_as_a_picture_of_it(rgba):
    colour = np.array([0.2, 0.5, 0.9], np.float32)
    np.testing.assert_allclose(composite(rgba, colour), composite(rgba, np.tile(colour, (20, 20, 1))), atol=1e-6)


@pytest.mark.parametrize("size", [1, 2, 17, 64])
@pytest.mark.parametrize("draw", [bg.gradient, bg.noise])
def test_fields_fill_zero_to_one(draw, size):
    field = draw(generator(size), size)
    assert field.shape == (size, size)
    assert field.dtype == np.float32
    assert field.min() >= 0
    assert field.max() <= 1
    if size > 2:
        assert np.ptp(field) == pytest.approx(1, abs=1e-5)


def test_a_gradient_is_a_plane_and_noise_is_none():
    y, x = np.mgrid[:32, :32]
    plane = np.stack([np.ones(1024), x.ravel(), y.ravel()], 1)
    for draw, flat in ((bg.gradient, True), (bg.noise, False)):
        values = draw(generator(3), 32).ravel()
        rest = values - plane @ np.linalg.lstsq(plane, values, rcond=None)[0]
        assert (float(np.abs(rest).max()) < 1e-5) == flat


def test_random_backgrounds_are_of_three_kinds():
    found = [bg.draw_texture(generator(i), 16) for i in range(200)]
    plain = sum(b.ndim == 1 for b in found)
    assert 40 < plain < 95
    y, x = np.mgrid[:16, :16]
    plane = np.stack([np.ones(256), x.ravel(), y.ravel()], 1)
    pictures = [b.reshape(256, 3) for b in found if b.ndim == 3]
    ramps = sum(np.abs(p - plane @ np.linalg.lstsq(plane, p, rcond=None)[0]).max() < 1e-4 for p in pictures)
    assert 40 < ramps < 95
    assert all(b.dtype == np.float32 and b.min() >= 0 and b.max() <= 1 + 1e-6 for b in found)


def test_pieces_come_from_every_picture_of_a_folder(folder):
    look = Augment(background=str(folder))
    assert [p.name for p in look.files] == ["a.png", "b.jpg"]
    pieces = [look.draw_background(generator(i), 24) for i in range(40)]
    assert all(p.shape == (24, 24, 3) and p.dtype == np.float32 and 0 <= p.min() <= p.max() <= 1 for p in pieces)
    grey = [p for p in pieces if np.ptp(p) < 0.03]
    assert 8 < len(grey) < 32
    np.testing.assert_allclose(grey[0], 77 / 255, atol=0.02)
    assert len({p.tobytes() for p in pieces if np.ptp(p) > 0.1}) > 5  # never the same piece
    np.testing.assert_array_equal(pieces[3], look.draw_background(generator(3), 24))


def test_folders_that_cannot_serve_are_named(tmp_path, folder):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="empty holds no pictures"):
        Augment(background=str(tmp_path / "empty"))
    whole = (folder / "a.png").read_bytes()
    (folder / "c.png").write_bytes(b"nothing")
    with pytest.raises(UserError, match="c.png cannot be read as a picture"):
        Augment(background=str(folder))
    (folder / "c.png").write_bytes(whole[: len(whole) // 2])  # its header is whole, so it is noticed when used
    look = Augment(background=str(folder))
    with pytest.raises(UserError, match="c.png is damaged"):
        [look.draw_background(generator(i), 24) for i in range(40)]


def test_white_takes_its_share():
    look = Augment(background=(0, 0, 0), white=0.3)
    share = np.mean([look.draw_background(generator(i), 4).sum() == 3 for i in range(1000)])
    assert share == pytest.approx(0.3, abs=0.05)
    assert all(look.draw_background(generator(i), 4).sum() in (0, 3) for i in range(50))


@pytest.mark.parametrize("turn", [0.0, 0.1, 1 / 3, -0.25])
def test_a_hue_turn_keeps_grey_and_turns_the_circle(turn):
    matrix = hue_turn(2 * np.pi * turn)
    np.testing.assert_allclose(matrix @ np.full(3, 0.4), 0.4, atol=1e-6)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-6)
    red = matrix @ np.array([0.6, 0.5, 0.5])
    hue = colorsys.rgb_to_hsv(*red)[0]
    assert (hue - turn + 0.5) % 1 - 0.5 == pytest.approx(0, abs=0.03)  # the hexagon of HSV is no circle


def test_no_strength_changes_nothing(rgba):
    colour, alpha = recoloured(rgba, Augment(), generator())
    np.testing.assert_allclose(colour, rgba[..., :3] / 255, atol=1e-6)
    np.testing.assert_array_equal(alpha, rgba[..., 3:].astype(np.float32) / 255)


def test_grey_has_no_colour_and_its_probability(rgba):
    looks = [recoloured(rgba, Augment(grey=0.4), generator(i))[0] for i in range(300)]
    grey = [c for c in looks if np.abs(c - c[..., :1]).max() < 1e-5]
    assert len(grey) / 300 == pytest.approx(0.4, abs=0.08)
    expected = np.asarray(Image.fromarray(rgba[..., :3]).convert("L"), np.float32) / 255
    np.testing.assert_allclose(grey[0][..., 0], expected, atol=0.004)


def test_brightness_contrast_and_tint_as_a_formula(rgba):
    look, rng = Augment(colour=0.3), generator(5)
    colour, alpha = recoloured(rgba, look, generator(5))
    gain, contrast = rng.uniform(0.7, 1.3, 3), 1 + 0.3 * rng.uniform(-1, 1)
    plain = rgba[..., :3] / 255
    mean = np.average(plain.mean(-1), weights=alpha[..., 0])
    np.testing.assert_allclose(colour, np.clip(((plain - mean) * contrast + mean) * gain, 0, 1), atol=1e-5)


def test_what_is_hidden_does_not_change_what_is_seen(rgba):
    """Colours under alpha 0 are arbitrary; neither contrast nor the picture may depend on them."""
    other = rgba.copy()
    other[rgba[..., 3] == 0, :3] = 255 - other[rgba[..., 3] == 0, :3]
    look = Augment(colour=0.4, saturation=0.5, hue=0.2)
    a, b = (over(*recoloured(r, look, generator(2)), np.ones(3, np.float32)) for r in (rgba, other))
    np.testing.assert_allclose(a, b, atol=1e-5)


def test_an_empty_picture_stays_empty():
    image = over(*recoloured(np.zeros((4, 4, 4), np.uint8), Augment(colour=0.5, grey=1), generator()), np.ones(3))
    np.testing.assert_array_equal(image, 1)


@pytest.mark.parametrize("shift", [0, 6])
def test_white_stays_white_whatever_the_colours(reader, shift):
    look = Augment(colour=0.5, saturation=1, hue=0.3, shift=shift)
    sample = ViewDataset(reader, reader.index(), keys=("mask",), points=10, augment=look)[(0, 0)]
    far = ~sample["mask"][0]
    for step in ((0, 1), (0, -1), (1, 0), (-1, 0)):  # the outline is mixed
        far &= ~sample["mask"][0].roll(step, (0, 1))
    assert float(sample["image"][:, far].min()) == 1
    assert float(sample["image"][:, sample["mask"][0]].mean()) < 0.95


def test_only_what_is_not_the_object_changes_with_the_background(reader):
    plain, other = (
        ViewDataset(reader, reader.index(), keys=("mask",), points=10, augment=look)[(0, 1)]
        for look in (Augment(), Augment(background="random"))
    )
    inside = plain["mask"][0]
    for step in ((0, 1), (0, -1), (1, 0), (-1, 0)):
        inside = inside & plain["mask"][0].roll(step, (0, 1))
    assert float((plain["image"] - other["image"])[:, inside].abs().max()) < 1e-6
    assert float((plain["image"] - other["image"])[:, ~plain["mask"][0]].abs().mean()) > 0.05


def test_a_background_does_not_move_with_a_shift_so_no_edge_gives_it_away(reader, folder):
    (folder / "a.png").unlink()
    look = Augment(background=str(folder), shift=10)  # one grey picture
    sample = ViewDataset(reader, reader.index(), keys=("mask",), points=10, augment=look)[(3, 0)]
    edge = np.concatenate([sample["image"][:, i].numpy() for i in (0, -1)], 1)
    np.testing.assert_allclose(edge, 77 / 255, atol=0.02)


def test_looks_are_a_function_of_seed_epoch_and_index(reader, folder):
    for background in ("random", str(folder)):
        look = Augment(0.5, 2, 0.3, 0.5, 0.1, 0.2, background, white=0.2)
        one, two = (ViewDataset(reader, reader.index(), points=10, augment=look) for _ in range(2))
        [one[(e, 2)] for e in range(3)]  # what was asked for before does not matter
        assert one[(3, 1)]["image"].equal(two[(3, 1)]["image"])
        assert not one[(3, 1)]["image"].equal(two[(4, 1)]["image"])
        assert one[1]["image"].equal(ViewDataset(reader, reader.index(), points=10)[1]["image"])  # none in evaluation


def test_the_named_experiment_composes():
    augment = compose("run", ["experiment=photographs", "paths.output=x"]).data.augment
    assert (augment.background, augment.mirror) == ("random", 0.5)
    assert Augment(**{k: v for k, v in augment.items() if k != "_target_"}).recolours
