"""The losses that are compared, on one network, with one budget of steps.

All learn the mask by the same term. `l1_consistency` alone has a head of normals, which its term needs, and the loss of
that head.
"""

VARIANTS = {
    "l1": ("loss=l1",),
    "l2": ("loss=l2",),
    "berhu": ("loss=berhu",),
    "silog": ("loss=silog",),
    "l1_normal": ("loss=[l1,depth_normal]",),
    "l1_consistency": ("loss=[l1,consistency]", "model.normals=true"),
    "l1_virtual_normal": ("loss=[l1,virtual_normal]",),
}
