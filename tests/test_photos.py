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
