"""A trained network as a file that runs without torch, checked against torch before it takes its place."""

import importlib.util
import json
import logging
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lit3d import __version__
from lit3d.build import image_size
from lit3d.errors import UserError, did_you_mean

FORMATS = ("onnx",)
PACKAGES = ("onnx", "onnxscript", "onnxruntime")
TOLERANCE = 1e-4  # of the object's longest side; measured on trained heads: 6e-8
BATCHES = (1, 2, 5)
INPUTS = ("image", "noise")
AXES = {
    "viewer": "x right, y down, z away from the camera; origin: the centre of the object's box",
    "object": "right-handed, y up; origin: the centre of the object's box",
}


class _Positional(nn.Module):
    """A network of named keys as a function of tensors -> tuple of tensors, which is what a graph can be."""

    def __init__(self, network: nn.Module, names: tuple[str, ...]) -> None:
        super().__init__()
        self.network, self.names = network, names

    def forward(self, image: Tensor, noise: Tensor | None = None) -> tuple[Tensor, ...]:
        batch = {"image": image} if noise is None else {"image": image, "noise": noise}
        structure = self.network(batch).float()
        return tuple(getattr(structure, name) for name in self.names)


def check_format(name: str) -> None:
    """Refuse an unknown format, or one whose packages are missing, before anything is loaded.

    Raises:
        UserError: either of them.
    """
    if name not in FORMATS:
        raise UserError(
            f"export={name}: there is no such format.{did_you_mean(str(name), FORMATS)} Known: {', '.join(FORMATS)}"
        )
    missing = [p for p in PACKAGES if importlib.util.find_spec(p) is None]
    if missing:
        raise UserError(f"export=onnx needs {' and '.join(missing)}: pip install 'lit3d[onnx]'")


def export_onnx(network: nn.Module, config: Mapping[str, Any], out: Path) -> list[Path]:
    """Write `<out>/<name>.onnx`, and beside it a .json with all that its user must know.

    Input `image` (b, 3, h, w) float32 in [0, 1], any b; outputs are the named tensors of the predicted structure, such
    as `points` (b, n, 3). A network with a random vector has a second input, `noise` (b, z), an answer for each row.
    Files that lay there before stay whole until the new ones have passed the check.

    Args:
        network: `forward(batch) -> Structure`; trained.
        config: what the checkpoint says about its run, `name`, `data` and `camera` among it.
        out: folder; made where it is missing.

    Returns:
        The two files.

    Raises:
        UserError: packages are missing, the network reads more than an image or predicts a function of place, or its
            graph does not give what torch gives within `TOLERANCE`.
    """
    check_format("onnx")
    if set(network.reads) != {"image"}:  # type: ignore[arg-type]
        raise UserError(
            f"export=onnx takes networks that read an image alone, but this one reads {', '.join(network.reads)}"  # type: ignore[arg-type]
        )
    predicts: Any = network.predicts
    if not getattr(predicts, "exported", True):
        raise UserError(
            "export=onnx takes networks whose prediction is made of tensors, but this one predicts "
            f"{predicts.reads_as}: a function that is asked at places; model=voxel has a graph, and "
            "image=... writes meshes"
        )
    size = image_size(config["data"])
    assert size is not None  # a checkpoint without images is refused where it is loaded
    draw = torch.Generator().manual_seed(0)
    inputs = (torch.rand(max(BATCHES), 3, *size, generator=draw),)
    if length := getattr(network, "noise", 0):
        inputs += (torch.randn(max(BATCHES), length, generator=draw),)  # type: ignore[assignment]
    network = network.eval()
    names = _names(network, inputs[0])
    model = _Positional(network, names).eval()
    file = out / f"{config['name'].replace('/', '_')}.onnx"
    aside = [file.with_name(f".{file.stem}.{os.getpid()}{suffix}") for suffix in (".onnx", ".json")]
    out.mkdir(parents=True, exist_ok=True)
    try:
        program = _graph(model, inputs)
        program.model.metadata_props["lit3d"] = json.dumps(facts := _facts(config, model, inputs))  # travels inside
        program.save(str(aside[0]), external_data=False)
        facts["largest_difference_from_torch"] = compare(aside[0], model, *inputs)
        aside[1].write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
        return [a.replace(file.with_suffix(a.suffix)) for a in aside]
    finally:
        for left in aside:
            left.unlink(missing_ok=True)


def _names(network: nn.Module, images: Tensor) -> tuple[str, ...]:
    """The tensors of its structure that it really predicts."""
    with torch.inference_mode():
        structure = network({"image": images[:2]})
    return tuple(n for n in structure.tensors if isinstance(getattr(structure, n, None), Tensor))


def _graph(model: _Positional, inputs: tuple[Tensor, ...]) -> Any:
    """The graph for any batch size, without the notes that name files of this machine."""
    batch = torch.export.Dim("b", min=1)
    try:
        with _quiet():
            program = torch.onnx.export(
                model, tuple(x[:2] for x in inputs), dynamo=True, verbose=False, external_data=False,
                input_names=list(INPUTS[: len(inputs)]), output_names=list(model.names),
                dynamic_shapes={name: {0: batch} for name in INPUTS[: len(inputs)]},
            )  # fmt: skip
    except torch.onnx.OnnxExporterError as error:
        reason = str(error.__cause__ or error).strip().splitlines()[0]
        raise UserError(f"this network has no ONNX graph for every batch size ({reason})") from error
    assert program is not None
    for part in (*program.model.graph, *program.model.graph.initializers.values()):
        part.metadata_props.clear()
    return program


def compare(file: Path, model: nn.Module, *inputs: Tensor) -> float:
    """The largest difference between a graph and torch over outputs and the batch sizes of `BATCHES`.

    Args:
        file: the graph, with inputs in the order of `INPUTS`.
        model: inputs -> tuple of tensors in the order of the graph's outputs.
        inputs: images (b, 3, h, w) and, where the graph takes it, noise (b, z); b at least the largest of `BATCHES`.

    Raises:
        UserError: it is not below `TOLERANCE`, not finite, or a shape differs.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    worst = 0.0
    for b in BATCHES:
        with torch.inference_mode():
            expected = model(*(x[:b] for x in inputs))
        given = session.run(None, {name: x[:b].numpy() for name, x in zip(INPUTS, inputs, strict=False)})
        for name, want, got in zip([o.name for o in session.get_outputs()], expected, given, strict=True):
            same = tuple(want.shape) == got.shape
            difference = float((want.double() - torch.from_numpy(got).double()).abs().max()) if same else float("inf")
            if not difference < TOLERANCE:  # NaN is no agreement either
                raise UserError(
                    f"the ONNX graph's '{name}' differs from torch's by {difference:.2g} in a batch of {b} (less than "
                    f"{TOLERANCE:g} is expected), so nothing was written: is every weight of the checkpoint finite?"
                )
            worst = max(worst, difference)
    return worst


def _facts(config: Mapping[str, Any], model: _Positional, inputs: tuple[Tensor, ...]) -> dict[str, Any]:
    with torch.inference_mode():
        outputs = dict(zip(model.names, model(*(x[:1] for x in inputs)), strict=True))
    camera = config.get("camera")
    frame = config["data"].get("frame", "viewer")
    images, *noise = inputs
    vector = {"name": "noise", "type": "float32", "drawn": "standard normal, another row for another answer"}
    return {
        "model": config["name"], "lit3d": __version__, "torch": torch.__version__,
        "input": {
            "name": "image", "shape": ["b", *images.shape[1:]], "type": "float32", "channels": "RGB", "range": [0, 1],
            "object": "cut out, on white, its box centred; the longer side of the box is camera.fill of the picture's"
            if (camera or {}).get("fill") else "none: the whole picture, a central window of this shape",
        },
        **({"noise": vector | {"shape": ["b", *noise[0].shape[1:]]}} if noise else {}),
        "outputs": {
            name: {"shape": ["b", *value.shape[1:]], "type": str(value.dtype).removeprefix("torch.")}
            for name, value in outputs.items()
        },
        "unit": "the longest side of the object's box in its own axes is 1"
        if "synthesis" in config["data"] else "metre",
        "frame": frame, "axes": AXES[frame],
        "camera": camera,
    }  # fmt: skip


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's progress, and its warnings of packages that are not needed."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)
