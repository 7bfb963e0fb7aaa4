"""Mesh sources: what they list, how they split, and what they say when a folder is not as expected."""

import pickle
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import trimesh

from lit3d.errors import UserError
from lit3d.synthesis import grammar
from lit3d.synthesis.shape import Shape, UnusableMeshError
from lit3d.synthesis.sources import FolderSource, GrammarSource, Item
from lit3d.synthesis.sources.items import slug, split_at, stable_fraction
from lit3d.synthesis.sources.shapenet import DUPLICATES, SYNSETS

BOX = trimesh.creation.box().export(file_type="obj")
SPHERE = trimesh.creation.icosphere(subdivisions=2).export(file_type="obj")  # 320 faces


def write(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(BOX)
    return root


def splits(items: list[Item]) -> dict[str, str]:
    return {item.object: item.split for item in items}


# ---- names and shares


@pytest.mark.parametrize(
    ("text", "expected"),
    [("Chair 01", "chair-01"), ("a/b c.x", "a-b-c.x"), ("..", None), ("", None), ("Stühle", None), ("椅子", None)],
)
def test_slug_is_safe_as_a_file_name(text: str, expected: str | None):
    assert re.fullmatch(r"[a-z0-9._-]+", slug(text))
    assert not slug(text).startswith((".", "-"))
    if expected is not None:
        assert slug(text) == expected


def test_slugs_of_other_alphabets_stay_apart():
    assert slug("椅子") != slug("桌子")
    assert slug("Stühle") != slug("Stuhle")
    assert len(slug("x" * 5000)) < 140


def test_stable_fraction_is_the_same_on_every_machine():
    assert stable_fraction("a", 1) == pytest.approx(0.5141306901658262)
    values = [stable_fraction("object", k) for k in range(2000)]
    assert np.histogram(values, bins=4, range=(0, 1))[0].min() > 420
    assert stable_fraction("ab", "c") != stable_fraction("a", "bc")


def test_split_at_follows_the_shares():
    found = Counter(split_at((k + 0.5) / 1000, (0.8, 0.06, 0.14)) for k in range(1000))
    assert found == {"train": 800, "val": 60, "test": 140}


# ---- grammar


@pytest.fixture
def toy_grammar(monkeypatch):
    def sample(category: str, rng: np.random.Generator) -> Shape:
        vertices = rng.normal(size=(3, 3))
        return Shape(vertices, np.array([[0, 1, 2]]), np.zeros((1, 3), np.float32), np.zeros(1, np.int32))

    monkeypatch.setattr(grammar, "sample", sample, raising=False)
    monkeypatch.setattr(grammar, "CATEGORIES", ("chair", "table"), raising=False)
    monkeypatch.setattr(grammar, "GRAMMAR_VERSION", "7", raising=False)


@pytest.mark.usefixtures("toy_grammar")
class TestGrammarSource:
    def test_objects_do_not_depend_on_how_many_there_are(self):
        few, many = GrammarSource(3), GrammarSource(30, categories=["table", "chair"])
        wanted = {item.object: item for item in many.items()}
        for item in few.items():
            assert wanted[item.object] == item
            np.testing.assert_array_equal(few.load(item).vertices, many.load(wanted[item.object]).vertices)

    def test_objects_differ_by_category_number_and_seed(self):
        sources = [GrammarSource(2, seed=0), GrammarSource(2, seed=1)]
        firsts = {float(source.load(item).vertices[0, 0]) for source in sources for item in source.items()}
        assert len(firsts) == 8

    @pytest.mark.parametrize("count", [20, 50, 1000])
    def test_every_category_keeps_the_shares(self, count: int):
        found = Counter(item.split for item in GrammarSource(count, ["chair"]).items())
        for name, share in zip(("train", "val", "test"), (0.8, 0.06, 0.14), strict=True):
            assert abs(found[name] - share * count) <= 2
            assert found[name] > 0

    def test_names_are_unique_and_safe(self):
        names = [item.object for item in GrammarSource(12).items()]
        assert len(set(names)) == 24
        assert all(re.fullmatch(r"[a-z0-9._-]+", name) for name in names)

    def test_fingerprint_and_pickling(self):
        source = pickle.loads(pickle.dumps(GrammarSource(2, seed=3)))
        assert source.fingerprint() == {"source": "grammar", "version": "7", "seed": "3"}
        assert (source.attribution(), source.skipped()) == (None, [])

    def test_mistakes_are_told(self):
        with pytest.raises(UserError, match=r"no category 'chiar'.*Did you mean 'chair'"):
            GrammarSource(2, ["chiar"])
        with pytest.raises(UserError, match="at least one category"):
            GrammarSource(0)
        with pytest.raises(UserError, match="named twice"):
            GrammarSource(1, ["chair", "chair"])
        with pytest.raises(UserError, match="add up to 1"):
            GrammarSource(1, split=(0.8, 0.1, 0.2))


# ---- folder


def test_folder_takes_sub_folders_as_categories(tmp_path: Path):
    write(tmp_path, "Arm Chairs/a.obj", "Arm Chairs/deep/b.OBJ", "table/c.obj", "lonely.obj", "table/._c.obj")
    write(tmp_path, ".hidden/d.obj", "__MACOSX/e.obj", "notes.txt")
    found = {item.object: item.category for item in FolderSource(tmp_path).items()}
    assert found == {
        "arm-chairs-a": "arm-chairs",
        "arm-chairs-deep-b": "arm-chairs",
        "table-c": "table",
        "lonely": "object",
    }


def test_folder_loads_and_turns(tmp_path: Path):
    box = trimesh.creation.box(extents=(1, 2, 3))
    (tmp_path / "a.stl").write_bytes(box.export(file_type="stl"))
    item = FolderSource(tmp_path).items()[0]
    upright, turned = FolderSource(tmp_path).load(item), FolderSource(tmp_path, up="z").load(item)
    assert np.ptp(upright.vertices, axis=0).tolist() == [1, 2, 3]
    assert np.ptp(turned.vertices, axis=0).tolist() == [1, 3, 2]
    assert trimesh.Trimesh(turned.vertices, turned.faces, process=False).volume == pytest.approx(6)


def test_folder_passes_the_face_limit_on(tmp_path: Path):
    source = FolderSource(write(tmp_path, "a.obj"), max_faces=5)
    with pytest.raises(UnusableMeshError, match="12 faces, the limit is 5"):
        source.load(source.items()[0])


def test_new_files_do_not_move_old_ones(tmp_path: Path):
    write(tmp_path, *(f"c/{k}.obj" for k in range(40)))
    before = splits(FolderSource(tmp_path).items())
    write(tmp_path, *(f"c/{k}.obj" for k in range(40, 400)))
    after = splits(FolderSource(tmp_path).items())
    assert before.items() <= after.items()
    assert Counter(after.values())["train"] == pytest.approx(320, abs=25)
    assert after != splits(FolderSource(tmp_path, seed=1).items())


def test_folder_links_are_followed_once(tmp_path: Path):
    write(tmp_path / "data", "a.obj")
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "chairs").symlink_to(tmp_path / "data")
    (tmp_path / "data" / "loop").symlink_to(tmp_path / "data")
    assert [item.object for item in FolderSource(tmp_path / "root").items()] == ["chairs-a"]


def test_table_settles_files_categories_and_splits(tmp_path: Path):
    write(tmp_path, "x/a.obj", "x/b.obj", "x/c.obj")
    table = tmp_path / "t.csv"
    table.write_text("\ufefffile,category,split,creator\nx/a.obj,Sofa,test_authors,Ann\nx/b.obj,,,\n", encoding="utf-8")
    source = FolderSource(tmp_path, table)
    first, second = source.items()
    assert (first.category, first.split, first.facts["creator"]) == ("sofa", "test_authors", "Ann")
    assert (second.category, second.split) == ("x", splits(FolderSource(tmp_path).items())["x-b"])
    assert "x-a: Ann" in (source.attribution() or "")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,category\nx/a.obj,c\n", r"t.csv lacks the column\(s\) split; it has file, category"),
        ("file;category;split\nx/a.obj;c;val\n", "lacks the column"),
        ("", "lacks the column.*it has none"),
        ("file,category,split\nx/a.obj,c,dev\n", "line 2: split is 'dev', expected train, val, test"),
        ("file,category,split\n,c,val\n", "line 2: the column file is empty"),
        ("file,category,split\nx/z.obj,c,val\nx/y.obj,c,val\n", r"names 2 file\(s\) that are not in .*'x/z.obj'"),
        ("file,category,split\nx/a.obj,c,val\nx/a.obj,c,val\n", "listed twice"),
        ("file,category,split\n", "no mesh to read"),
    ],
)
def test_mistakes_in_the_table_are_told(tmp_path: Path, text: str, message: str):
    write(tmp_path, "x/a.obj")
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(UserError, match=message):
        FolderSource(tmp_path, tmp_path / "t.csv").items()


def test_mistakes_with_the_folder_are_told(tmp_path: Path):
    with pytest.raises(UserError, match="is not there or not a folder"):
        FolderSource(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"no mesh to read in .*expected .obj"):
        FolderSource(tmp_path).items()
    with pytest.raises(UserError, match=r"table .* is not there"):
        FolderSource(tmp_path, tmp_path / "t.csv")
    with pytest.raises(UserError, match="up must be"):
        FolderSource(tmp_path, up="x")
    write(tmp_path, "a b.obj", "a-b.obj")
    with pytest.raises(UserError, match="would be one object 'a-b'; rename one"):
        FolderSource(tmp_path).items()


def test_table_that_is_no_text_is_told(tmp_path: Path):
    write(tmp_path, "a.obj")
    (tmp_path / "t.csv").write_bytes(b"file,category,split\n\xff\xfe\x00,c,val\n")
    with pytest.raises(UserError, match="cannot be read as a CSV in UTF-8"):
        FolderSource(tmp_path, tmp_path / "t.csv").items()


def test_unknown_category_is_told(tmp_path: Path):
    write(tmp_path, "chair/a.obj", "table/b.obj")
    assert [i.category for i in FolderSource(tmp_path, categories=["table"]).items()] == ["table"]
    with pytest.raises(UserError, match=r"no category 'chairs'; it has chair, table. Did you mean 'chair'"):
        FolderSource(tmp_path, categories=["chairs"]).items()


def test_files_that_need_an_extra_are_reported(tmp_path: Path, monkeypatch):
    write(tmp_path, "a.obj", "b.dae", "c.3mf")
    monkeypatch.setattr(trimesh, "available_formats", lambda: {"obj"})
    source = FolderSource(tmp_path)
    assert len(source.items()) == 1
    assert [name for name, _ in source.skipped()] == ["b.dae", "c.3mf"]
    assert all("pip install 'lit3d[formats]'" in reason for _, reason in source.skipped())


def test_fingerprint_knows_content_but_not_place(tmp_path: Path):
    first, second = write(tmp_path / "one", "a.obj"), write(tmp_path / "two", "a.obj")
    assert FolderSource(first).fingerprint() == FolderSource(second).fingerprint()
    (second / "a.obj").write_text(SPHERE)
    assert FolderSource(first).fingerprint() != FolderSource(second).fingerprint()


# ---- ShapeNet


def test_synsets_are_those_of_the_two_releases():
    assert len(SYNSETS) == 57
    assert len(set(SYNSETS.values())) == 57
    assert (SYNSETS["02691156"], SYNSETS["03001627"]) == ("airplane", "chair")
    assert [(SYNSETS[a], SYNSETS[b]) for a, b in DUPLICATES.items()] == [
        ("boat", "watercraft"),
        ("cellphone", "telephone"),
    ]


@pytest.mark.parametrize("layout", ["model.obj", "models/model_normalized.obj"])
def test_shapenet_layouts_are_recognised(tmp_path: Path, layout: str):
    write(tmp_path, f"03001627/AB12/{layout}", f"02691156/cd/{layout}", f"99999999/ef/{layout}")
    write(tmp_path, "03001627/AB12/images/other.obj", "taxonomy/x.obj")
    source = FolderSource(tmp_path)
    found = {item.object: item.category for item in source.items()}
    assert found == {"03001627-ab12": "chair", "02691156-cd": "airplane", "99999999-ef": "99999999"}
    assert len(source.load(source.items()[0]).faces) == 12
    assert "shapenet.org/terms" in (source.attribution() or "")


def test_shapenet_duplicates_are_kept_once(tmp_path: Path):
    write(tmp_path, "02858304/m1/model.obj", "02858304/m2/model.obj", "04530566/m1/model.obj")
    source = FolderSource(tmp_path)
    assert {item.object for item in source.items()} == {"02858304-m2", "04530566-m1"}
    assert source.skipped() == [("02858304/m1/model.obj", "the same model is listed under 04530566")]


def test_shapenet_names_in_a_table(tmp_path: Path):
    write(tmp_path, "03001627/m1/model.obj")
    (tmp_path / "t.csv").write_text("file,category,split\n03001627/m1/model.obj,,val\n")
    assert FolderSource(tmp_path, tmp_path / "t.csv").items() == [
        Item("03001627-m1", "chair", "val", {"file": "03001627/m1/model.obj"})
    ]
