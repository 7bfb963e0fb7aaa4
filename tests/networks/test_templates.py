import numpy as np
import pytest
import torch
import trimesh

from lit3d.errors import UserError
from lit3d.networks.templates import MeshTemplate, ellipsoid, from_file, sphere, torus


def written(folder, mesh, name="mesh.obj"):
    path = folder / name
    mesh.export(path)
    return path


def test_the_default_has_the_counts_of_three_blocks():
    template = ellipsoid().levels(3)
    assert [t.vertices for t in template.topologies] == [162, 642, 2562]
    assert [t.euler for t in template.topologies] == [2, 2, 2]
    assert template.at_level(2).shape == (2562, 3)
    torch.testing.assert_close(template.at_level(2)[:162], template.vertices)
    assert [t.vertices for t in torus().levels(3).topologies] == [160, 640, 2560]
    assert torus().levels(2).topologies[1].euler == 0
    low, high = sphere(3, 0.2, (0.1, 0, 0)).vertices.aminmax(dim=0)
    torch.testing.assert_close(low, torch.tensor([-0.1, -0.2, -0.2]), atol=2e-3, rtol=0)
    torch.testing.assert_close(high, torch.tensor([0.3, 0.2, 0.2]), atol=2e-3, rtol=0)


@pytest.mark.parametrize("suffix", ["obj", "ply", "stl", "glb"])
def test_a_mesh_of_any_format_is_scaled_and_has_shared_corners(tmp_path, suffix):
    box = trimesh.creation.box((2, 1, 0.5)).apply_translation((5, 5, 5))
    template = from_file(written(tmp_path, box, f"box.{suffix}"), size=0.8)
    assert template.vertices.shape == (8, 3)
    low, high = template.vertices.aminmax(dim=0)
    torch.testing.assert_close(high - low, torch.tensor([0.8, 0.4, 0.2]))
    torch.testing.assert_close(high + low, torch.zeros(3), atol=1e-6, rtol=0)


def test_size_null_leaves_a_mesh_where_it_is(tmp_path):
    box = trimesh.creation.box((0.3, 0.2, 0.1)).apply_translation((0.1, 0, 0))
    template = from_file(written(tmp_path, box), size=None)
    torch.testing.assert_close(template.vertices.mean(0), torch.tensor([0.1, 0, 0]), atol=1e-6, rtol=0)


def test_a_checkpoint_needs_no_file(tmp_path):
    path = written(tmp_path, trimesh.creation.icosphere(subdivisions=1))
    first = from_file(path)
    path.unlink()
    again = from_file(path, **first.rebuild)
    torch.testing.assert_close(again.vertices, first.vertices)
    assert torch.equal(again.topologies[0].faces, first.topologies[0].faces)


def open_box():
    box = trimesh.creation.box()
    return trimesh.Trimesh(box.vertices, box.faces[1:], process=False)


def inside_out():
    box = trimesh.creation.box()
    return trimesh.Trimesh(box.vertices, box.faces[:, ::-1], process=False)


def mixed():
    box = trimesh.creation.box()
    faces = box.faces.copy()
    faces[0] = faces[0, ::-1]
    return trimesh.Trimesh(box.vertices, faces, process=False)


def flat_face():
    """A tetrahedron with a needle: a vertex on one of its edges."""
    vertices = [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [0.5, 0, 0]]
    faces = [[0, 2, 1], [0, 1, 4], [0, 4, 3], [4, 1, 3], [1, 2, 3], [0, 3, 2]]
    return trimesh.Trimesh(vertices, faces, process=False)


@pytest.mark.parametrize(
    ("mesh", "words"),
    [
        (open_box(), r"mesh\.obj must be a closed manifold.*3 edges with only one face.*repair"),
        (mixed(), "3 pairs of faces wound against each other"),
        (inside_out(), "wound inwards"),
        (flat_face(), "1 faces without area"),
    ],
    ids=["open", "mixed", "inside out", "flat"],
)
def test_what_cannot_be_a_template_is_refused(tmp_path, mesh, words):
    with pytest.raises(UserError, match=words):
        from_file(written(tmp_path, mesh))


def test_files_that_are_no_meshes(tmp_path):
    with pytest.raises(UserError, match="there is no such file"):
        from_file(tmp_path / "absent.obj")
    (tmp_path / "text.obj").write_text("nothing here\n")
    with pytest.raises(UserError, match=r"text\.obj (holds no triangles|cannot be read)"):
        from_file(tmp_path / "text.obj")
    points = trimesh.PointCloud(np.random.default_rng(0).random((5, 3)))
    points.export(tmp_path / "points.ply")
    with pytest.raises(UserError, match=r"points\.ply (holds no triangles|cannot be read)"):
        from_file(tmp_path / "points.ply")


def test_coordinates_that_are_not_finite():
    template = ellipsoid(0)
    vertices = template.vertices.clone()
    vertices[3, 1] = torch.nan
    with pytest.raises(UserError, match="finite vertices"):
        MeshTemplate(vertices, template.topologies[0].faces)


def test_topologies_follow_the_module_to_its_device():
    template = ellipsoid(0).levels(2).to("meta")
    assert {t.faces.device.type for t in template.topologies} == {"meta"}
