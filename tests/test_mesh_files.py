"""Files of predicted meshes as a viewer shows them: read back by trimesh, rendered by our own renderer."""

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from lit3d.build import load_module
from lit3d.config import compose
from lit3d.prediction import predict
from lit3d.synthesis.cameras import Camera
from lit3d.synthesis.render import prepare, render
from lit3d.synthesis.shape import Shape
from lit3d.training import train

SIZE, DISTANCE = 96, 2.0
LENS = np.array([[110.0, 0, SIZE / 2], [0, 110, SIZE / 2], [0, 0, 1]])
GLTF_VIEWER = np.diag([1.0, -1.0, -1.0, 1.0])  # x to the right, y up, seen from +z: the front of an asset (glTF 2.0)
CORNER = np.array([[-0.4, -0.3, -0.3], [0.6, -0.3, -0.3], [-0.4, 0.4, -0.3], [-0.4, -0.3, 0.5]])  # mirrored nowhere


def seen(vertices, faces, rotation):
    """Mask, depth (0 outside), and the share of pixels that show the outer side of a face."""
    pose = rotation.copy()
    pose[2, 3] = DISTANCE
    plain = Shape(vertices, faces, np.full((len(faces), 3), 0.7, np.float32), np.zeros(len(faces), np.int32))
    view = render(prepare(vertices, plain), Camera(LENS, pose, (SIZE, SIZE)))
    corners = vertices[faces[view.triangle[view.mask]]]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    eye = -pose[:3, :3].T @ pose[:3, 3]
    outer = ((eye - corners[:, 0]) * normals).sum(-1) > 0
    return view.mask, view.depth, outer.mean()


@pytest.fixture(scope="module", params=["viewer", "object"])
def predicted(request, datasets, tmp_path_factory):
    """A frame, the vertices and faces that a network predicts in it, and the files of the same prediction by suffix."""
    tmp_path = tmp_path_factory.mktemp(request.param)
    trimesh.convex.convex_hull(CORNER).export(tmp_path / "corner.obj")
    overrides = ["model=mesh_deform", "debug=tiny", "model.network.blocks=3", "model.network.width=8", "test=false",
                 "model/template=file", f"model.template.file={tmp_path}/corner.obj", f"data.frame={request.param}",
                 "trainer.max_steps=1", "trainer.val_check_interval=1", "callbacks.media=null",
                 f"paths.data={datasets}", f"paths.output={tmp_path}/run"]  # fmt: skip
    train(compose("run", overrides))
    image = np.zeros((64, 64, 4), np.uint8)
    image[16:48, 16:48] = (200, 80, 60, 255)
    Image.fromarray(image).save(tmp_path / "photo.png")
    checkpoint = tmp_path / "run" / "checkpoints" / "last.ckpt"
    kept = torch.load(checkpoint, weights_only=True)
    for name, weight in kept["state_dict"].items():
        if ".move." in name:  # nothing moves: the prediction is the template, whatever a step made of the weights
            weight.zero_()
    torch.save(kept, checkpoint)
    cfg = {"checkpoint": str(checkpoint), "image": str(tmp_path / "photo.png"), "mask": None, "camera": None,
           "answers": 1, "export": None, "out": str(tmp_path / "out"), "picture_size": 64}  # fmt: skip
    files = {path.suffix: path for path in predict(cfg)}
    with torch.no_grad():
        mesh = load_module(checkpoint).network.undeformed(1)
    return request.param, mesh.vertices[0].double().numpy(), mesh.faces.numpy(), files


@pytest.mark.parametrize("suffix", [".glb", ".obj"])
def test_files_stand_upright_face_the_viewer_and_show_their_outer_sides(predicted, suffix):
    frame, template, faces, files = predicted
    read = trimesh.load(files[suffix], force="mesh", process=False)
    mask, depth, outer = seen(np.asarray(read.vertices), np.asarray(read.faces), GLTF_VIEWER)
    assert outer == 1
    # The template's view from the camera, or in its own axes, which have y up.
    own, own_depth, _ = seen(template, faces, np.eye(4) if frame == "viewer" else GLTF_VIEWER)
    assert agreement(mask, own) > 0.98
    both = mask & own
    assert np.abs(depth - own_depth)[both].mean() < 0.003
    for axis in (0, 1):
        assert agreement(np.flip(mask, axis), own) < 0.7
    turned, *_ = seen(np.asarray(read.vertices)[:, ::-1] * (1, 1, -1), np.asarray(read.faces), GLTF_VIEWER)
    assert agreement(turned, own) < 0.8  # from the side it looks different: front is front


def test_the_check_sees_faces_that_are_inside_out():
    hull = trimesh.convex.convex_hull(CORNER)
    assert seen(np.asarray(hull.vertices), np.asarray(hull.faces), np.eye(4))[2] == 1
    assert seen(np.asarray(hull.vertices), np.ascontiguousarray(hull.faces[:, ::-1]), np.eye(4))[2] == 0


def agreement(a, b):
    """Intersection over union."""
    return (a & b).sum() / (a | b).sum()
