"""The furniture source: catalogue, groups, split by author, archives that are not as expected."""

import pickle
import re
import zipfile
from collections import Counter
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

from lit3d.errors import UserError
from lit3d.synthesis.shape import UnusableMeshError
from lit3d.synthesis.sources import SPLITS, FurnitureSource
from lit3d.synthesis.sources.catalogue import Entry, parse_properties, rotation, triangle_count
from lit3d.synthesis.sources.furniture import model_families, split_by_author
from lit3d.synthesis.sources.furniture_groups import group_of
from lit3d.synthesis.sources.items import Item, slug

BOX = trimesh.creation.box().export(file_type="obj")
SPHERE = trimesh.creation.icosphere(subdivisions=2).export(file_type="obj")  # 320 faces


def splits(items: list[Item]) -> dict[str, str]:
    return {item.object: item.split for item in items}


def png() -> bytes:
    file = BytesIO()
    Image.fromarray(np.full((4, 4, 3), [200, 100, 50], np.uint8)).save(file, "PNG")
    return file.getvalue()


def library(folder: Path, name: str, rows: list[dict[str, str]], **extra: bytes) -> None:
    """An archive whose rows name models; a row without a file gets a sphere of 320 faces."""
    lines = ["# a comment", "id=Test", "version=9.9", "license=CC-BY \\u00a9 Somebody", ""]
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / f"{name}.sh3f", "w") as archive:
        for number, row in enumerate(rows, start=1):
            full = {"width": "10", "depth": "10", "height": "10", "creator": "Ann"} | row
            lines += [f"{key}#{number}={value}" for key, value in full.items()]
            model = full.get("model", "").lstrip("/")
            if model and model not in (*extra, *archive.namelist()):
                archive.writestr(model, SPHERE)
        for path, data in extra.items():
            archive.writestr(path, data)
        archive.writestr("PluginFurnitureCatalog.properties", "\n".join(lines).encode("latin-1"))
        archive.writestr("PluginFurnitureCatalog_fr.properties", b"name#1=Chaise")


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    quad = b"mtllib t.mtl\n" + SPHERE.replace("\nf ", "\nusemtl m\nf ", 1).encode()
    textured = re.sub(rb"^f .*$", lambda m: re.sub(rb"(\d+)(//\d+)?", rb"\1/1", m[0]), quad, flags=re.M)
    textured = textured.replace(b"\nv ", b"\nvt 0.5 0.5\nv ", 1)
    many = b"v 0 0 0\nv 1 0 0\nv 0 1 0\n" + b"f 1 2 3\n" * 2000
    rows = [
        {"name": "Chair", "model": "/lib/chair1/chair1.obj"},
        {"name": "Chair 2", "model": "/lib/chair2/chair2.obj"},
        {"name": "Bill 10\\u20ac", "model": "/lib/bill/bill.obj", "height": "0.1"},
        {"name": "Table tr\xe8s \\: long", "model": "/lib/t/t.obj", "creator": "Bj\\u00f6rn"},
        {"name": "Box", "model": "/lib/box/box.obj"},
        {"name": "Tree", "model": "/lib/tree/tree.obj"},
        {"name": "Lamp", "model": "/lib/gone/gone.obj"},
        {"name": "Lamp", "model": "/lib/old/old.3ds"},
        {"name": "No model"},
        {"name": "Sofa", "model": "/lib/sofa/sofa.obj", "modelRotation": "1 0 0 0 0 1 0 -1 0", "width": "?"},
    ]
    extra = {
        "lib/t/t.obj": textured,
        "lib/t/t.mtl": b"newmtl m\nKd 0 0 0\nmap_Kd Wood.png\n",
        "lib/t/wood.PNG": png(),
        "lib/box/box.obj": BOX.encode(),
        "lib/tree/tree.obj": many,
    }
    library(tmp_path / "shop", "Some-Lib", rows, **extra)
    with zipfile.ZipFile(tmp_path / "shop" / "Some-Lib.sh3f") as archive:  # take one model out again
        kept = {name: archive.read(name) for name in archive.namelist() if "gone" not in name}
    with zipfile.ZipFile(tmp_path / "shop" / "Some-Lib.sh3f", "w") as archive:
        for name, data in kept.items():
            archive.writestr(name, data)
    library(tmp_path / "shop", "KatorLegaz", [{"name": "Chair", "model": "/k/chair1.obj", "creator": "Kator"}])
    return tmp_path / "shop"


def test_furniture_is_listed_grouped_and_left_out_with_reasons(shop: Path):
    source = FurnitureSource(shop, max_faces=1000)
    found = {item.object: (item.category, item.facts["name"], item.facts["creator"]) for item in source.items()}
    assert found == {
        "katorlegaz-chair1": ("chair", "Chair", "Kator"),
        "some-lib-chair1": ("chair", "Chair", "Ann"),
        "some-lib-chair2": ("chair", "Chair 2", "Ann"),
        "some-lib-sofa": ("sofa", "Sofa", "Ann"),
        "some-lib-t": ("table", "Table très : long", "Björn"),
    }
    reasons = dict(source.skipped())
    assert reasons["Some-Lib:lib/bill/bill.obj"] == "flat: the shortest side is 0.010 of the longest"
    assert reasons["Some-Lib:lib/box/box.obj"] == "12 faces, at least 100 are needed"
    assert reasons["Some-Lib:lib/tree/tree.obj"] == "2000 faces, the limit is 1000"
    assert reasons["Some-Lib:lib/gone/gone.obj"] == "file is missing in the archive"
    assert "no reader for '.3ds'" in reasons["Some-Lib:lib/old/old.3ds"]


def test_furniture_holds_one_library_out(shop: Path):
    found = splits(FurnitureSource(shop, max_faces=1000).items())
    assert found.pop("katorlegaz-chair1") == "test_authors"
    assert "test_authors" not in found.values()
    assert found["some-lib-chair1"] == found["some-lib-chair2"]


def test_furniture_loads_from_the_archive_with_texture(shop: Path):
    source = pickle.loads(pickle.dumps(FurnitureSource(shop, max_faces=1000)))
    items = {item.object: item for item in source.items()}
    shape = source.load(items["some-lib-t"])
    assert len(shape.faces) == 320
    assert shape.textures[0][0, 0].tolist() == [200, 100, 50]
    assert (shape.texture_of_face == 0).all()
    assert source.load(items["some-lib-chair1"]).textures == ()


def test_furniture_is_turned_and_measured_after_loading(tmp_path: Path):
    ball = trimesh.creation.icosphere(subdivisions=2)
    tall, thin = ball.copy(), ball.copy()
    tall.apply_scale([1, 2, 3])
    thin.apply_scale([1, 1, 0.01])
    rows = [
        {"name": "Lamp", "model": "/a/tall.obj", "modelRotation": "0 0 1 -1 0 0 0 -1 0"},
        {"name": "Rug", "model": "/a/thin.obj"},
    ]
    models = {f"a/{n}.obj": m.export(file_type="obj").encode() for n, m in (("tall", tall), ("thin", thin))}
    library(tmp_path, "L", rows, **models)
    source = FurnitureSource(tmp_path)
    tall_item, thin_item = source.items()
    extent = np.ptp(source.load(tall_item).vertices, axis=0)
    np.testing.assert_allclose(extent / extent.min(), [3, 1, 2], rtol=1e-6)
    with pytest.raises(UnusableMeshError, match=r"flat: the shortest side is 0.010"):
        source.load(thin_item)


def test_furniture_names_every_author(shop: Path):
    text = FurnitureSource(shop, max_faces=1000).attribution()
    assert text is not None
    assert "some-lib-t: 'Table très : long' by Björn, Some-Lib, CC-BY © Somebody" in text
    assert "katorlegaz-chair1: 'Chair' by Kator, KatorLegaz" in text


def test_furniture_fingerprint_is_that_of_the_content(shop: Path, tmp_path: Path):
    first = FurnitureSource(shop, max_faces=1000).fingerprint()
    assert first["Some-Lib"].startswith("9.9 ")
    shop.rename(tmp_path / "moved")
    assert FurnitureSource(tmp_path / "moved", max_faces=1000).fingerprint() == first
    library(tmp_path / "moved", "KatorLegaz", [{"name": "Chair", "model": "/k/other.obj"}])
    assert FurnitureSource(tmp_path / "moved", max_faces=1000).fingerprint()["KatorLegaz"] != first["KatorLegaz"]


def test_furniture_is_found_where_dpkg_unpacks_it(shop: Path, tmp_path: Path):
    target = tmp_path / "unpacked" / "usr" / "share" / "sweethome3d"
    target.mkdir(parents=True)
    shop.rename(target / "furniture")
    assert len(FurnitureSource(tmp_path / "unpacked", max_faces=1000).items()) == 5


def test_missing_furniture_names_both_commands(tmp_path: Path):
    with pytest.raises(UserError, match=r"(?s)apt-get install sweethome3d-furniture.*dpkg -x.*data.root=") as caught:
        FurnitureSource(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_damaged_library_is_told(tmp_path: Path):
    (tmp_path / "Bad.sh3f").write_bytes(b"no zip")
    with pytest.raises(UserError, match=r"Bad.sh3f is not a furniture library"):
        FurnitureSource(tmp_path).items()
    with zipfile.ZipFile(tmp_path / "Bad.sh3f", "w") as archive:
        archive.writestr("other.txt", "x")
    with pytest.raises(UserError, match=r"Bad.sh3f is not a furniture library"):
        FurnitureSource(tmp_path).items()


def test_damaged_model_in_a_sound_library_is_left_out(tmp_path: Path):
    library(tmp_path, "L", [{"name": "Chair", "model": "/a/a.obj"}, {"name": "Chair", "model": "/b/b.obj"}])
    data = bytearray((tmp_path / "L.sh3f").read_bytes())
    data[data.index(b"v ") + 2] ^= 0xFF  # stored, not deflated: the checksum no longer fits
    (tmp_path / "L.sh3f").write_bytes(data)
    source = FurnitureSource(tmp_path)
    assert source.skipped() == [("L:a/a.obj", "cannot be unpacked (BadZipFile)")]
    assert [item.object for item in source.items()] == ["l-b"]


def test_models_of_one_name_and_models_listed_twice(tmp_path: Path):
    rows = [{"name": "Chair", "model": model} for model in ("/a/x.obj", "/b/x.obj", "/c/y.obj", "/c/y.obj")]
    library(tmp_path, "L", rows)
    source = FurnitureSource(tmp_path)
    assert [item.object for item in source.items()] == ["l-a-x", "l-b-x", "l-c-y"]
    assert source.skipped() == [("L:c/y.obj", "listed twice")]


def entry(name: str, creator: str, library: str = "L", number: int = 0) -> Entry:
    model = f"/{slug(name)}-{slug(creator)}-{number}.obj"
    return Entry(library, f"{library}-{model}", {"name": name, "creator": creator, "model": model}, "")


def test_families_are_variants_by_one_creator():
    names = ["Chair", "Chair 2", "Chair with cushion", "Chairlift", "Plug type A", "Plug type B"]
    families = model_families([entry(name, "Ann") for name in names] + [entry("Chair", "Bob")])
    assert families[0] == families[1] == families[2]
    assert families[4] == families[5]
    assert len(set(families)) == 4


def test_split_never_parts_a_family_and_keeps_the_shares():
    rng = np.random.default_rng(0)
    entries = [
        entry(f"{name} {k}", f"author {rng.integers(30)}", "Kept" if k % 10 else "KatorLegaz", k)
        for name in ("Chair", "Table", "Sofa")
        for k in range(100)
    ]
    found = split_by_author(entries, (0.8, 0.07, 0.13), seed=0)
    sides: dict[tuple[str, ...], set[str]] = {}
    for one, family, side in zip(entries, model_families(entries), found, strict=True):
        assert side in SPLITS
        assert (side == "test_authors") == (one.library == "KatorLegaz")
        if side != "test_authors":
            sides.setdefault(family, set()).add(side)
    assert all(len(side) == 1 for side in sides.values())
    for name in ("Chair", "Table", "Sofa"):
        count = Counter(s for e, s in zip(entries, found, strict=True) if e.title.startswith(name))
        assert count["test"] == 12
        assert count["val"] == 6
    assert found != split_by_author(entries, (0.8, 0.07, 0.13), seed=1)


def test_properties_are_read_as_java_reads_them():
    text = "# no\n! no\n\n  a = 1 \nb:2\nc 3\nlong=one \\\n   two\nu=\\u20ac\\ud83d\\ude00\n"
    text += "k\\=ey=v\\\\\nx\x85=y\r\nempty=\n"
    found = {"a": "1", "b": "2", "c": "3", "long": "one two", "u": "€😀"}
    assert parse_properties(text) == found | {"k=ey": "v\\", "x\x85": "y", "empty": ""}


def test_rotation_reads_rows_and_refuses_what_is_none():
    turn = rotation("0 0 1 -1 0 0 0 -1 0")
    assert turn is not None
    np.testing.assert_array_equal(turn @ [1.0, 2.0, 3.0], [3, -1, -2])
    assert all(rotation(text) is None for text in ("", "1 2 3", "a b c", "2 0 0 0 2 0 0 0 2", "1 0 0 0 1 0 0 0 -1"))
    assert rotation("nan 0 0 0 1 0 0 0 1") is None


def test_triangles_are_counted_without_reading_the_mesh():
    assert triangle_count(b"v 0 0 0\nf 1 2 3\nf 1/1 2/2 3/3 4/4\r\nf  1//1 2//1 3//1 4//1 5//1 \nfoo\n") == 6
    assert triangle_count(b"") == 0


@pytest.mark.parametrize(
    ("name", "category"),
    [
        ("Chair with cushion", "chair"),
        ("Table tennis bat", "instrument_sport"),
        ("Table tennis", "table"),
        ("Desk lamp", "lamp"),
        ("Pedestal vase lamp", "lamp"),
        ("Shelves", "cabinet"),
        ("Glass door cabinet", "cabinet"),
        ("TV stand", "cabinet"),
        ("Hot dog", "other"),
        ("Piano bench", "bench"),
        ("Captain's bed", "bed"),
        ("Wardrobes", "cabinet"),
        ("Something unheard of", "other"),
        ("", "other"),
    ],
)
def test_groups_by_name(name: str, category: str):
    assert group_of(name) == category


def test_a_sock_is_no_socket():
    assert group_of("Socket", "chaussette") == "other"
    assert group_of("Socket", "wall-socket") == "plug_switch"
