import numpy as np
import pytest
import torch
import trimesh

from lit3d.mesh_drawing import draw_mesh, two_views
from lit3d.ops.mesh import Topology
from lit3d.ops.templates import icosphere
from lit3d.structures import Mesh, PointSet

LENS = np.array([[100.0, 0, 50], [0, 100, 50], [0, 0, 1]])
GREY = np.full((8, 3), 0.8)


def box(front=True):
    shape = trimesh.creation.box((0.4, 0.4, 0.4)).apply_translation((0, 0, 2))
    faces = shape.faces if front else shape.faces[:, ::-1]
    return np.asarray(shape.vertices), np.ascontiguousarray(faces)


def test_a_box_fills_its_silhouette_and_nothing_else():
    picture = draw_mesh(*box(), LENS, 100, GREY)
    drawn = (picture < 255).any(2)
    half = 0.2 / 1.8 * 100  # of the front side in pixels
    low, high = round(50 - half), round(50 + half)
    assert drawn[low + 1 : high - 1, low + 1 : high - 1].all()
    assert not drawn[: low - 1].any()
    assert not drawn[:, high + 1 :].any()


def test_edges_are_dark_and_faces_as_bright_as_they_face_the_camera():
    picture = draw_mesh(*box(), LENS, 100, GREY).astype(int)
    assert picture[44, 47, 0] == pytest.approx(0.8 * 255, abs=6)  # inside one of the front's two triangles
    dark = min(picture[50 + k, 50 + s * k, 0] for k in range(-3, 4) for s in (-1, 1))  # on the diagonal of the front
    assert dark < 0.9 * 0.8 * 255


def test_the_inner_side_is_red():
    outside, inside = (draw_mesh(*box(front), LENS, 100, GREY)[44, 47].astype(int) for front in (True, False))
    assert np.ptp(outside) < 3
    assert inside[0] > 2 * inside[1]


def test_no_picture_of_what_is_not_finite():
    vertices, faces = box()
    vertices = vertices.copy()
    vertices[0, 0] = np.nan
    assert (draw_mesh(vertices, faces, LENS, 20, GREY) == 255).all()


def test_solids_are_drawn_as_triangles_and_sets_as_points():
    template, pose = icosphere(1, 0.4), np.eye(4)
    pose[2, 3] = 2
    mesh = Mesh(template.vertices[None], Topology.of(template.faces))
    points, up = template.vertices.double().numpy(), np.array([0.0, 1, 0])
    camera = (LENS, pose, up, 50, 100)
    (solid, turned), (dots, _) = (two_views(p, 0, points, *camera) for p in (mesh, PointSet(torch.zeros(1, 42, 3))))
    assert solid.shape == turned.shape == (50, 50, 3)
    assert (solid[25, 20:30] < 255).any(1).all()
    assert (solid < 255).any(2).sum() > 2 * (dots < 255).any(2).sum()
