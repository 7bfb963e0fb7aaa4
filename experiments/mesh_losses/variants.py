"""The objectives that are compared with the network: two set distances, with Pixel2Mesh's regularisers or without.

Everything is read as the difference from `<distance>_full`, so that one term's part is seen.
"""

DISTANCES = ("cd", "emd")
REGULARISERS = ("laplacian", "move", "uniform_edges", "mesh_normal")  # those of model=mesh_deform


def without(*names: str) -> tuple[str, ...]:
    """Overrides that leave regularisers out."""
    return tuple(f"model.regularisers.{name}=null" for name in names)


ABLATIONS = {"full": (), **{f"no_{name}": without(name) for name in REGULARISERS}, "none": without(*REGULARISERS)}
VARIANTS = {
    f"{distance}_{name}": (f"loss={distance}", *overrides)
    for distance in DISTANCES for name, overrides in ABLATIONS.items()
}  # fmt: skip
