import numpy as np
import pytest
from PIL import Image, ImageDraw

from lit3d import photos
from lit3d.errors import UserError


def picture(mode="RGB", background=(230, 225, 215), size=(300, 200)):
    image = Image.new(mode, size, (*background, 0) if mode == "RGBA" else background)
    ImageDraw.Draw(image).ellipse((100, 50, 220, 130), fill=(160, 40, 30, 255) if mode == "RGBA" else (160, 40, 30))
    return image


def object_box(image):
    rows, columns = (np.flatnonzero((image.min(-1) < 0.7).any(axis)) for axis in (1, 0))
    return rows[0], rows[-1] + 1, columns[0], columns[-1] + 1


@pytest.mark.parametrize("source", ["alpha", "mask file", "background removal"])
@pytest.mark.parametrize("fill", [0.5, 0.8])
def test_the_object_is_centred_and_fills_what_it_fills_in_training(tmp_path, source, fill):
    path, mask = tmp_path / "a.png", None
    picture("RGBA" if source == "alpha" else "RGB").save(path)
    if source == "mask file":
        mask = tmp_path / "m.png"
        picture("RGBA").getchannel("A").save(mask)
    photo = photos.prepare(path, mask, 64, fill)
    top, bottom, left, right = object_box(photo.image)
    assert photo.mask_from == source
    assert right - left == pytest.approx(64 * fill, abs=2)
    assert (left + right) / 2 == pytest.approx(32, abs=1.5)
    assert (top + bottom) / 2 == pytest.approx(32, abs=1.5)
    assert photo.image[0, 0].min() > 0.99


def test_a_gradient_behind_the_object_is_removed():
    shade = np.linspace(150, 250, 300)[None, :, None].repeat(200, 0).repeat(3, 2).astype(np.uint8)
    inside = np.zeros((200, 300), bool)
    inside[60:140, 100:200] = True
    shade[inside] = (40, 60, 160)
    found = photos.remove_background(shade)
    assert (found & inside).sum() / (found | inside).sum() > 0.95


def test_a_picture_without_an_object_says_what_to_do():
    with pytest.raises(UserError, match="give mask=FILE"):
        photos.remove_background(np.full((50, 50, 3), 200, np.uint8))


def test_bad_files_are_named(tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    with pytest.raises(UserError, match="broken.png cannot be read as a picture"):
        photos.prepare(broken, None, 64, 0.7)
    good, small = tmp_path / "good.png", tmp_path / "small.png"
    picture().save(good)
    Image.new("L", (10, 10)).save(small)
    with pytest.raises(UserError, match="small.png is 10 x 10, but .*good.png is 300 x 200"):
        photos.prepare(good, small, 64, 0.7)
    empty = tmp_path / "empty.png"
    Image.new("L", (300, 200)).save(empty)
    with pytest.raises(UserError, match="the mask is empty"):
        photos.prepare(good, empty, 64, 0.7)


def test_images_are_found_in_files_and_folders(tmp_path):
    for name in ("b.png", "a.JPG", "notes.txt"):
        (tmp_path / name).touch()
    assert [p.name for p in photos.find_images([str(tmp_path)])] == ["a.JPG", "b.png"]
    with pytest.raises(UserError, match="no image or folder"):
        photos.find_images([str(tmp_path / "absent")])
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no images in"):
        photos.find_images([str(tmp_path / "empty")])


def test_masks_beside_pictures_are_no_pictures_and_names_do_not_collide(tmp_path):
    for name in ("a.jpg", "a.mask.png", ".b.png", "c.png"):
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    assert [p.name for p in photos.find_images([str(tmp_path)])] == ["a.jpg", "c.png"]
    assert photos.mask_beside(tmp_path / "a.jpg") == tmp_path / "a.mask.png"
    assert photos.mask_beside(tmp_path / "c.png") is None
    assert photos.find_images([str(tmp_path / "c.png")] * 2) == [tmp_path / "c.png"]
    (tmp_path / "a.png").touch()
    with pytest.raises(UserError, match=r"a.jpg and .*a.png would write results of the same name"):
        photos.find_images([str(tmp_path)])


def same_as_rgb(path, tolerance=0.03):
    """A file shows what the plain picture shows."""
    plain = path.with_name("plain.png")
    picture().save(plain)
    got, expected = (photos.prepare(p, None, 64, 0.8).image for p in (path, plain))
    return float(np.abs(got - expected).mean()) < tolerance


@pytest.mark.parametrize(("mode", "suffix"), [("CMYK", ".jpg"), ("CMYK", ".tif"), ("P", ".png"), ("YCbCr", ".jpg")])
def test_every_kind_of_colour_shows_the_same(tmp_path, mode, suffix):
    picture().convert(mode).save(tmp_path / f"a{suffix}")
    assert same_as_rgb(tmp_path / f"a{suffix}")


@pytest.mark.parametrize(("kind", "top", "suffix"), [
    (np.uint16, 65535, ".png"), (np.uint16, 65535, ".tif"), (np.float32, 1, ".tif"), (np.float32, 255, ".tif"),
    (np.float32, 65535, ".tif"), (np.int32, 65535, ".tif"),
])  # fmt: skip
def test_grey_of_many_bits_is_scaled_not_clipped(tmp_path, kind, top, suffix):
    grey = np.asarray(picture().convert("L"), np.float64) / 255
    grey[0, 0] = 1
    Image.fromarray((grey * top).astype(kind)).save(tmp_path / f"a{suffix}")
    Image.fromarray((grey * 255).astype(np.uint8)).save(tmp_path / "plain.png")
    got, expected = (photos.prepare(tmp_path / n, None, 64, 0.8).image for n in (f"a{suffix}", "plain.png"))
    np.testing.assert_allclose(got, expected, atol=0.02)
    assert expected.min() < 0.5


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -3.0, 1e6])
def test_numbers_that_are_no_brightness_are_refused(tmp_path, value):
    grey = np.asarray(picture().convert("L"), np.float32)
    grey = grey.copy()
    grey[5, 5] = value
    Image.fromarray(grey).save(tmp_path / "a.tif")
    with pytest.raises(UserError, match="not finite numbers|0 to 1, 255 or 65535 are expected"):
        photos.prepare(tmp_path / "a.tif", None, 64, 0.8)


@pytest.mark.parametrize("suffix", [".gif", ".png", ".webp"])
def test_an_animation_is_refused_and_a_still_one_is_not(tmp_path, suffix):
    frames = [picture(), picture(background=(200, 200, 250))]
    path = tmp_path / f"a{suffix}"
    frames[0].save(path, save_all=True, append_images=frames[1:])
    with pytest.raises(UserError, match="holds 2 frames: save the one"):
        photos.prepare(path, None, 64, 0.8)
    frames[0].save(path)
    assert same_as_rgb(path, 0.05)


def test_the_first_page_and_a_phones_main_picture_are_taken(tmp_path):
    for name in ("a.tif", "a.mpo"):
        picture().save(tmp_path / name, save_all=True, append_images=[picture(background=(0, 0, 0))])
        assert same_as_rgb(tmp_path / name)


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (7, 7)])
def test_a_few_pixels_are_one_sentence(tmp_path, size):
    Image.new("RGB", size, (200, 30, 30)).save(tmp_path / "a.png")
    Image.new("L", size, 255).save(tmp_path / "a.mask.png")
    with pytest.raises(UserError, match="cannot be told from its background below 8"):
        photos.prepare(tmp_path / "a.png", None, 64, 0.8)
    if max(size) < 8:
        with pytest.raises(UserError, match="its shape cannot be seen below 8"):
            photos.prepare(tmp_path / "a.png", tmp_path / "a.mask.png", 64, 0.8)
    else:
        assert photos.prepare(tmp_path / "a.png", tmp_path / "a.mask.png", 64, 0.8).image.min() < 0.9  # a wire


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (10, 200, 30)])
def test_one_colour_is_no_object(tmp_path, colour):
    Image.new("RGB", (80, 60), colour).save(tmp_path / "a.png")
    with pytest.raises(UserError, match="give mask=FILE"):
        photos.prepare(tmp_path / "a.png", None, 64, 0.8)


def test_a_transparent_picture_holds_no_object(tmp_path):
    Image.new("RGBA", (80, 60), (10, 20, 30, 0)).save(tmp_path / "a.png")
    with pytest.raises(UserError, match="the mask is empty"):
        photos.prepare(tmp_path / "a.png", None, 64, 0.8)


def test_a_huge_picture_is_averaged_down_and_its_crop_stays_in_its_pixels(tmp_path):
    large, small = (picture().resize((300 * k, 200 * k), Image.Resampling.NEAREST) for k in (8, 2))
    large.save(tmp_path / "large.png")
    small.save(tmp_path / "small.png")
    a, b = (photos.prepare(tmp_path / f"{n}.png", None, 64, 0.8) for n in ("large", "small"))
    np.testing.assert_allclose(np.array(a.crop), 4 * np.array(b.crop), atol=16)  # 2 pixels of what is looked at
    assert float(np.abs(a.image - b.image).mean()) < 0.02
    assert max(a.whole.shape) == photos.LONGEST
    mask = tmp_path / "mask.png"
    large.convert("L").point(lambda v: 255 if v < 128 else 0).save(mask)
    assert photos.prepare(tmp_path / "large.png", mask, 64, 0.8).mask_from == "mask file"


def test_more_pixels_than_memory_holds_are_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    picture().save(tmp_path / "a.png")
    with pytest.raises(UserError, match="more than 0 million pixels: scale it down"):
        photos.prepare(tmp_path / "a.png", None, 64, 0.8)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 40_000)  # a warning of Pillow's, but no refusal
    assert photos.prepare(tmp_path / "a.png", None, 64, 0.8).image.shape == (64, 64, 3)


def test_cut_short_files_are_named(tmp_path):
    for suffix in (".jpg", ".png", ".webp", ".tif", ".gif", ".bmp"):
        whole = tmp_path / f"whole{suffix}"
        picture().save(whole)
        for share in (0, 0.02, 0.5):
            cut = tmp_path / f"cut{suffix}"
            content = whole.read_bytes()
            cut.write_bytes(content[: int(share * len(content))])
            with pytest.raises(UserError, match=f"cut{suffix} cannot be read as a picture"):
                photos.prepare(cut, None, 64, 0.8)


def test_a_picture_is_turned_as_the_camera_was_held(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the top of the scene is at the right
    picture().rotate(90, expand=True).save(tmp_path / "a.jpg", exif=exif)
    assert same_as_rgb(tmp_path / "a.jpg")
