"""The representations that are compared: one encoder, the same images and batches; each with its usual loss.

The gradients of losses differ in scale, so one rate for all would favour whom it suits: `RATES` has one for each
representation with its loss, of `TRIED`, by `python -m experiments.representations.tune`.
"""

TRIED = (3e-4, 1e-3, 3e-3, 1e-2)
RATES = {  # 300 steps each, 2026-11-26; the README has the scores
    "pointset_fc": 1e-3,
    "pointset_two_branch": 3e-3,
    "mesh_deform": 3e-3,
    "occupancy": 3e-3,
    "voxel": 1e-3,
    "depth": 3e-3,
}
MODELS = {  # the first is what the others are compared with; the last shows the visible part only
    "pointset_fc": ("model=pointset", "model/head=fc", "loss=cd"),
    "pointset_two_branch": ("model=pointset", "model/head=two_branch", "loss=cd"),
    "mesh_deform": ("model=mesh_deform", "loss=cd"),
    "occupancy": ("model=occupancy", "loss=bce"),
    "voxel": ("model=voxel", "loss=bce"),
    "depth": ("model=depth", "loss=l1"),
}
COMMON = ("model/encoder=small", "model/optimizer=muon")  # one of each, whatever the default of a model
VARIANTS = {name: (*own, *COMMON, f"model.optimizer.lr={RATES[name]:g}") for name, own in MODELS.items()}
VISIBLE_ONLY = ("depth",)
