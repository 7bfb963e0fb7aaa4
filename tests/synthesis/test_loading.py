"""Reading meshes: a zoo of broken files, and what must survive of sound ones."""

import io
import json
import struct
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

from lit3d.synthesis import loading
from lit3d.synthesis.loading import candidate_names, cleaned, load_mesh
from lit3d.synthesis.shape import Shape, UnusableMeshError

TRIANGLE = "v 0 0 0\nv 1 0 0\nv 0 1 0\n"
QUAD = "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\n"


def ply(vertices: str, faces: str = "", vertex_count: int = 3, face_count: int = 0) -> bytes:
    head = (
        f"ply\nformat ascii 1.0\nelement vertex {vertex_count}\nproperty float x\nproperty float y\nproperty float z\n"
    )
    if face_count:
        head += f"element face {face_count}\nproperty list uchar int vertex_indices\n"
    return f"{head}end_header\n{vertices}{faces}".encode()


def binary_ply_head(face_count: int) -> bytes:
    return (
        "ply\nformat binary_little_endian 1.0\nelement vertex 3\nproperty float x\nproperty float y\nproperty float z\n"
        f"element face {face_count}\nproperty list uchar int vertex_indices\nend_header\n"
    ).encode() + np.eye(3, dtype="<f4").tobytes()


def box_bytes(file_type: str) -> bytes:
    data = trimesh.creation.box().export(file_type=file_type)
    return data.encode() if isinstance(data, str) else data


def cyclic_gltf() -> bytes:
    nodes = [{"children": [1]}, {"children": [0]}]
    return json.dumps({"asset": {"version": "2.0"}, "scene": 0, "scenes": [{"nodes": [0]}], "nodes": nodes}).encode()


ZOO = {
    "nothing.obj": (b"", "file is empty"),
    "garbage.obj": (b"this is no mesh\n\x00\xff\xfe", "no faces"),
    "garbage.ply": (b"this is no mesh", "cannot be read"),
    "garbage.stl": (b"this is no mesh", "cannot be read|no faces"),
    "garbage.glb": (b"glTFthis is no mesh at all", "cannot be read"),
    "garbage.gltf": (b"{", "cannot be read"),
    "garbage.off": (b"OFF\nno numbers here\n", "cannot be read"),
    "cyclic.gltf": (cyclic_gltf(), "cannot be read|no faces"),
    "faceless.obj": (TRIANGLE.encode(), "without faces"),
    "cloud.ply": (ply("0 0 0\n1 0 0\n0 1 0\n"), "a point cloud without faces"),
    "nan.obj": (b"v nan 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n", "NaN or infinite vertices"),
    "inf.obj": (b"v inf 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n", "NaN or infinite vertices"),
    "huge.obj": (b"v -1.7e308 0 0\nv 1.7e308 0 0\nv 0 1e308 0\nf 1 2 3\n", "NaN or infinite vertices"),
    "inf.ply": (ply("inf 0 0\n1 0 0\n0 1 0\n", "3 0 1 2\n", face_count=1), "NaN or infinite vertices"),
    "point.obj": (b"v 1 2 3\nv 1 2 3\nv 1 2 3\nf 1 2 3\n", "zero extent"),
    "line.obj": (b"v 0 0 0\nv 1 1 1\nv 2 2 2\nf 1 2 3\n", "no face has an area"),
    "range.obj": (f"{TRIANGLE}f 1 2 9\n".encode(), "cannot be read|out of range"),
    "range.ply": (ply("0 0 0\n1 0 0\n0 1 0\n", "3 0 1 7\n", face_count=1), "out of range"),
    "negative.off": (b"OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 -5\n", "cannot be read|out of range"),
    "cut.ply": (box_bytes("ply")[:-40], "cannot be read"),
    "cut.glb": (box_bytes("glb")[:-200], "cannot be read|out of range"),
    "cut.stl": (box_bytes("stl")[:-30], "cannot be read|no faces"),
    "header.ply": (binary_ply_head(2_000_000_000_000), "cannot be read|without faces"),
    "promise.ply": (binary_ply_head(2_000_000_000) + b"\x03" * 64, "cannot be read|without faces|out of range"),
    "header.stl": (b" " * 80 + struct.pack("<I", 2**32 - 1) + b" " * 100, "cannot be read|no faces"),
    "mesh.xyzzy": (b"v 0 0 0", "no reader for '.xyzzy' files"),
    "suffixless": (b"v 0 0 0", "no reader for"),
}


@pytest.mark.parametrize("name", ZOO)
def test_broken_file_gives_one_short_reason(tmp_path: Path, name: str):
    content, reason = ZOO[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UnusableMeshError, match=reason) as caught:
        load_mesh(tmp_path / name)
    text = str(caught.value)
    assert len(text) < 140
    assert "\n" not in text
    assert str(tmp_path) not in text


@pytest.mark.parametrize("error", [RecursionError, MemoryError, struct.error, IndexError, AssertionError])
def test_whatever_a_reader_raises_becomes_a_reason(tmp_path: Path, monkeypatch, error):
    def reader(*args, **kwargs):
        raise error("x" * 500 + "\n")

    (tmp_path / "a.obj").write_text("v")
    monkeypatch.setattr(trimesh, "load_scene", reader)
    with pytest.raises(UnusableMeshError, match=f"cannot be read \\({error.__name__}"):
        load_mesh(tmp_path / "a.obj")


def test_an_interrupt_is_not_swallowed(tmp_path: Path, monkeypatch):
    def reader(*args, **kwargs):
        raise KeyboardInterrupt

    (tmp_path / "a.obj").write_text("v")
    monkeypatch.setattr(trimesh, "load_scene", reader)
    with pytest.raises(KeyboardInterrupt):
        load_mesh(tmp_path / "a.obj")


def test_missing_file_large_file_and_many_faces(tmp_path: Path):
    with pytest.raises(UnusableMeshError, match="file is missing"):
        load_mesh(tmp_path / "nowhere.obj")
    (tmp_path / "folder.obj").mkdir()
    with pytest.raises(UnusableMeshError, match="file is missing"):
        load_mesh(tmp_path / "folder.obj")
    path = tmp_path / "box.stl"
    path.write_bytes(box_bytes("stl"))
    with pytest.raises(UnusableMeshError, match="12 faces, the limit is 11"):
        load_mesh(path, max_faces=11)
    with pytest.raises(UnusableMeshError, match=r"file has 0 MB, the limit is 0 MB"):
        load_mesh(path, max_bytes=100)
    assert len(load_mesh(path, max_faces=12).faces) == 12


def test_optional_format_names_the_extra(tmp_path: Path, monkeypatch):
    (tmp_path / "a.dae").write_text("<COLLADA/>")
    monkeypatch.setattr(trimesh, "available_formats", lambda: {"obj"})
    with pytest.raises(UnusableMeshError, match=r"pip install 'lit3d\[formats\]'"):
        load_mesh(tmp_path / "a.dae")


@pytest.mark.parametrize("file_type", ["obj", "ply", "off", "stl", "glb"])
def test_a_box_is_a_box_in_every_format(file_type: str):
    shape = load_mesh(io.BytesIO(box_bytes(file_type)), file_type)
    assert shape.vertices.shape == (8, 3)
    assert shape.faces.shape == (12, 3)
    mesh = trimesh.Trimesh(shape.vertices, shape.faces, process=False)
    assert mesh.is_watertight
    assert mesh.volume == pytest.approx(1, rel=1e-6)


def test_dtypes_and_lengths_are_those_of_shape(tmp_path: Path):
    shape = textured_quad(tmp_path)
    assert [a.dtype for a in (shape.vertices, shape.faces, shape.colours)] == [np.float64, np.int64, np.float32]
    assert (shape.parts.dtype, shape.uv.dtype, shape.texture_of_face.dtype) == (np.int32, np.float32, np.int32)
    count = len(shape.faces)
    assert shape.uv.shape == (count, 3, 2)
    assert len(shape.colours) == len(shape.parts) == len(shape.texture_of_face) == count
    assert shape.textures[0].dtype == np.uint8
    assert shape.part_names == ("object",)


def test_single_triangle_is_usable(tmp_path: Path):
    (tmp_path / "a.obj").write_text(f"{TRIANGLE}f 1 2 3\n")
    shape = load_mesh(tmp_path / "a.obj")
    assert shape.faces.shape == (1, 3)
    np.testing.assert_allclose(shape.colours, [loading.DEFAULT_COLOUR], atol=1 / 255)
    assert shape.uv is None
    assert shape.textures == ()


def test_doubled_opposite_degenerate_and_unused_go(tmp_path: Path):
    text = TRIANGLE + "v 0 0 1\nv 9 9 9\nv 0.00000001 0 0\nv 1e300 nan 0\n"
    text += "f 1 2 3\nf 2 3 1\nf 3 2 1\nf 1 2 4\nf 1 1 2\nf 1 6 2\n"  # same, same, opposite, other, two without area
    (tmp_path / "a.obj").write_text(text)
    shape = load_mesh(tmp_path / "a.obj")
    assert len(shape.faces) == 2
    assert len(shape.vertices) == 4  # (9, 9, 9) and the NaN are used by no face, the sixth is the first again
    assert shape.vertices.max() == 1


@pytest.mark.parametrize("scale", [1e-30, 1e-3, 1.0, 1e30])
def test_cleaning_does_not_depend_on_units(scale: float):
    mesh = trimesh.creation.icosphere(subdivisions=3)
    split = mesh.triangles.reshape(-1, 3) * scale  # every face with vertices of its own
    faces = np.arange(len(split)).reshape(-1, 3)
    shape = cleaned(Shape(split, faces, np.zeros((len(faces), 3), np.float32), np.zeros(len(faces), np.int32)))
    assert len(shape.vertices) == len(mesh.vertices)
    assert len(shape.faces) == len(mesh.faces)


def test_small_but_sound_faces_stay():
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [2e-5, 0, 1], [0, 2e-5, 1]], dtype=float)
    faces = np.array([[0, 1, 2], [3, 4, 5]])
    shape = cleaned(Shape(vertices, faces, np.zeros((2, 3), np.float32), np.zeros(2, np.int32)))
    assert len(shape.faces) == 2


def test_colours_stay_with_their_faces_when_others_go(tmp_path: Path):
    mtl = "newmtl red\nKd 1 0 0\nnewmtl blue\nKd 0 0 1\n"
    (tmp_path / "a.mtl").write_text(mtl)
    text = f"mtllib a.mtl\n{TRIANGLE}v 0 0 1\nusemtl blue\nf 1 1 2\nf 1 2 4\nusemtl red\nf 1 1 3\nf 1 2 3\n"
    (tmp_path / "a.obj").write_text(text)
    shape = load_mesh(tmp_path / "a.obj")
    heights = shape.vertices[shape.faces][:, :, 2].max(axis=1)
    np.testing.assert_allclose(shape.colours[heights == 1], [[0, 0, 1]])
    np.testing.assert_allclose(shape.colours[heights == 0], [[1, 0, 0]])


def textured_quad(folder: Path, name: str = "quad.png", written: str = "quad.png", size: int = 2) -> Shape:
    """A quad whose picture is red top left, green top right, blue bottom left, white bottom right."""
    pixels = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 255, 255]]], np.uint8)
    pixels = pixels.repeat(size // 2, axis=0).repeat(size // 2, axis=1)
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(folder / name)
    (folder / "quad.mtl").write_text(f"newmtl m\nKd 0.2 0.4 0.6\nmap_Kd {written}\n")
    (folder / "quad.obj").write_text(f"mtllib quad.mtl\n{QUAD}usemtl m\nf 1/1 2/2 3/3\nf 1/1 3/3 4/4\n")
    return load_mesh(folder / "quad.obj")


def corner_colour(shape: Shape, position: tuple[float, float]) -> list[int]:
    """Colour just inside the corner of the quad at `position`, looked up as `Shape` defines uv."""
    face, corner = np.argwhere(np.all(shape.vertices[shape.faces][..., :2] == position, axis=-1))[0]
    picture = shape.textures[shape.texture_of_face[face]]
    height, width = picture.shape[:2]
    u, v = 0.9 * shape.uv[face, corner] + 0.05
    return picture[int((1 - v) * height), int(u * width)].tolist()


def test_texture_is_the_right_way_up(tmp_path: Path):
    shape = textured_quad(tmp_path)
    assert corner_colour(shape, (0, 1)) == [255, 0, 0]
    assert corner_colour(shape, (1, 1)) == [0, 255, 0]
    assert corner_colour(shape, (0, 0)) == [0, 0, 255]
    assert corner_colour(shape, (1, 0)) == [255, 255, 255]


def test_texture_of_glb_is_the_right_way_up(tmp_path: Path):
    textured_quad(tmp_path)
    data = trimesh.load_scene(tmp_path / "quad.obj", process=False).export(file_type="glb")
    shape = load_mesh(io.BytesIO(data), "glb")
    assert corner_colour(shape, (0, 1)) == [255, 0, 0]
    assert corner_colour(shape, (1, 0)) == [255, 255, 255]


def test_large_texture_is_scaled_down(tmp_path: Path):
    shape = textured_quad(tmp_path, size=2048)
    assert shape.textures[0].shape == (512, 512, 3)
    assert corner_colour(shape, (0, 1)) == [255, 0, 0]


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("../images/Tex.png", "../images/Tex.png"),  # ShapeNet v2
        ("quad.png", "C:\\work\\textures\\quad.png"),
        ("quad.png", "/home/somebody/quad.png"),
        ("Quad.PNG", "quad.png"),
        ("quad.png", "-s 1 1 1 quad.png"),
        ("textures/quad.png", "textures\\quad.png"),
    ],
)
def test_texture_is_found_where_exporters_leave_it(tmp_path: Path, name: str, written: str):
    folder = tmp_path / "models"
    folder.mkdir()
    assert len(textured_quad(folder, name, written).textures) == 1


def test_absolute_names_are_only_looked_for_beside_the_mesh():
    assert candidate_names("/etc/passwd") == ["passwd"]
    assert candidate_names("D:/a/b.png") == ["b.png"]


@pytest.mark.parametrize("content", [None, b"", b"no picture", b"\x89PNG\r\n\x1a\n cut"])
def test_without_a_readable_texture_the_diffuse_colour_is_used(tmp_path: Path, content: bytes | None):
    textured_quad(tmp_path)
    (tmp_path / "quad.png").unlink()
    if content is not None:
        (tmp_path / "quad.png").write_bytes(content)
    shape = load_mesh(tmp_path / "quad.obj")
    assert shape.textures == ()
    assert shape.uv is None
    np.testing.assert_allclose(shape.colours, [[0.2, 0.4, 0.6]] * 2, atol=1 / 255)


def test_truncated_picture_falls_back_to_the_diffuse_colour(tmp_path: Path):
    textured_quad(tmp_path, size=256)
    data = (tmp_path / "quad.png").read_bytes()
    (tmp_path / "quad.png").write_bytes(data[: len(data) // 2])
    np.testing.assert_allclose(load_mesh(tmp_path / "quad.obj").colours, [[0.2, 0.4, 0.6]] * 2, atol=1 / 255)


def test_missing_mtl_still_loads(tmp_path: Path):
    textured_quad(tmp_path)
    (tmp_path / "quad.mtl").unlink()
    shape = load_mesh(tmp_path / "quad.obj")
    assert len(shape.faces) == 2
    assert shape.textures == ()


def test_see_through_texels_take_the_visible_colour(tmp_path: Path):
    textured_quad(tmp_path)
    pixels = np.zeros((2, 2, 4), np.uint8)
    pixels[0, :] = [40, 160, 20, 255]  # the leaf; below it black with alpha 0
    Image.fromarray(pixels).save(tmp_path / "quad.png")
    shape = load_mesh(tmp_path / "quad.obj")
    assert shape.textures[0].reshape(-1, 3).tolist() == [[40, 160, 20]] * 4


def test_the_same_picture_in_two_materials_is_stored_once(tmp_path: Path):
    textured_quad(tmp_path)
    material = (tmp_path / "quad.mtl").read_text()
    (tmp_path / "quad.mtl").write_text(material + material.replace("newmtl m", "newmtl k"))
    text = (tmp_path / "quad.obj").read_text().replace("f 1/1 3/3 4/4", "usemtl k\nf 1/1 3/3 4/4")
    (tmp_path / "quad.obj").write_text(text)
    shape = load_mesh(tmp_path / "quad.obj")
    assert len(shape.textures) == 1
    assert shape.texture_of_face.tolist() == [0, 0]


def test_vertex_colours_are_averaged_and_face_colours_kept():
    mesh = trimesh.Trimesh(np.eye(3), [[0, 1, 2]], process=False)
    mesh.visual.vertex_colors = [[255, 0, 0, 255], [0, 255, 0, 255], [0, 0, 255, 255]]
    shape = load_mesh(io.BytesIO(mesh.export(file_type="ply")), "ply")
    np.testing.assert_allclose(shape.colours, [[1 / 3, 1 / 3, 1 / 3]], atol=1 / 255)
    box = trimesh.creation.box()
    box.visual.face_colors = [[10 * i, 0, 100, 255] for i in range(12)]
    shape = load_mesh(io.BytesIO(box.export(file_type="ply")), "ply")
    assert sorted(np.rint(shape.colours[:, 0] * 255).astype(int).tolist()) == [10 * i for i in range(12)]


def test_base_colour_factor_of_gltf():
    box = trimesh.creation.box()
    material = trimesh.visual.material.PBRMaterial(baseColorFactor=[255, 128, 0, 255])
    box.visual = trimesh.visual.TextureVisuals(uv=np.zeros((8, 2)), material=material)
    shape = load_mesh(io.BytesIO(box.export(file_type="glb")), "glb")
    np.testing.assert_allclose(shape.colours, [[1, 128 / 255, 0]] * 12, atol=1 / 255)


def test_node_transforms_are_applied_and_mirrors_stay_outside_out():
    scene = trimesh.Scene()
    scene.add_geometry(
        trimesh.creation.box(), node_name="a", transform=trimesh.transformations.translation_matrix([5, 0, 0])
    )
    mirror = np.diag([-2.0, 1.0, 1.0, 1.0])
    scene.add_geometry(trimesh.creation.box(), node_name="b", parent_node_name="a", transform=mirror)
    scene.add_geometry(trimesh.creation.box(), node_name="c", transform=mirror)
    shape = load_mesh(io.BytesIO(scene.export(file_type="glb")), "glb")
    assert shape.vertices[:, 0].min() == pytest.approx(-1)
    assert shape.vertices[:, 0].max() == pytest.approx(6)
    mesh = trimesh.Trimesh(shape.vertices, shape.faces, process=False)
    assert mesh.volume == pytest.approx(1 + 2 + 2)


def test_colour_values_never_leave_the_unit_range(tmp_path: Path):
    (tmp_path / "a.mtl").write_text("newmtl a\nKd nan -3 7\n")
    (tmp_path / "a.obj").write_text(f"mtllib a.mtl\n{TRIANGLE}usemtl a\nf 1 2 3\n")
    colours = load_mesh(tmp_path / "a.obj").colours
    assert np.isfinite(colours).all()
    assert colours.min() >= 0
    assert colours.max() <= 1
