import torch

from lit3d import ops


def test_projection_of_known_points():
    intrinsics = torch.tensor([[[100.0, 0, 32], [0, 100, 24], [0, 0, 1]]])
    pose = torch.eye(4)[None].clone()
    pose[0, 2, 3] = 2
    pixels, depth = ops.project(torch.tensor([[[0.0, 0, 0], [0.2, -0.1, 0], [0, 0, 2]]]), intrinsics, pose)
    torch.testing.assert_close(pixels[0], torch.tensor([[32.0, 24], [42, 19], [32, 24]]))
    torch.testing.assert_close(depth[0], torch.tensor([2.0, 2, 4]))
