"""From a config to objects, and from a checkpoint back to the system that was trained."""

import copy
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import hydra
import torch
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationKeyError, MissingMandatoryValue

from lit3d import trust
from lit3d.config import groups, size_key
from lit3d.errors import UserError
from lit3d.losses import Term, check_terms
from lit3d.modules import CHECKPOINT_FORMAT as FORMAT
from lit3d.modules import ReconstructionModule

KEPT = ("model", "loss", "metrics", "data", "seed", "name", "camera", "precision")  # what a checkpoint says of its run
TERM_KEYS = ("weight", "schedule", "pred", "target", "stages")


def plain(cfg: DictConfig) -> dict[str, Any]:
    """The resolved config as plain dictionaries and lists.

    Raises:
        UserError: a value that the config leaves to the user (`???`) is not given, or one part needs a key of another
            that is not there.
    """
    try:
        return OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)  # type: ignore[return-value]
    except MissingMandatoryValue as error:
        key = error.full_key
        raise UserError(f"{key} has no value yet: give {key}=... on the command line") from None
    except InterpolationKeyError as error:
        wanted = str(error).split("'")[1]
        raise UserError(
            f"{error.full_key} is taken from {wanted}, which this config does not have: these parts do not go "
            "together (a network that reads images needs data with images)"
        ) from None


def instantiate(node: Mapping[str, Any], **extra: Any) -> Any:
    """Hydra's instantiate on a plain node whose targets were checked; mistakes in arguments become sentences."""
    try:
        return hydra.utils.instantiate(dict(node), **extra, _convert_="all")
    except hydra.errors.InstantiationException as error:
        if isinstance(error.__cause__, UserError):
            raise error.__cause__ from None
        raise


def build_terms(losses: Mapping[str, Mapping[str, Any]]) -> list[Term]:
    """The terms of `cfg.loss` or of a model's regularisers: what is not a key of a term is its function's argument."""
    terms = []
    for name, node in losses.items():
        if not node:  # model.regularisers.X=null leaves one out
            continue
        arguments = {k: v for k, v in node.items() if k not in (*TERM_KEYS, "_target_")}
        function = trust.locate(node["_target_"])
        wiring = {k: node[k] for k in TERM_KEYS if k in node}
        terms.append(Term(name, partial(function, **arguments) if arguments else function, **wiring))
    return terms


def fitting_losses(tensors: Sequence[str]) -> list[str]:
    """Names of the losses in conf/ that read only tensors of these names."""
    names = []
    for path in groups().get("loss", []):
        reads = [name for term in _file_terms(path) for name in term.reads]
        if reads and all(name in tensors for name in reads):
            names.append(path.stem)
    return names


def _file_terms(path: Path) -> list[Term]:
    node = OmegaConf.to_container(OmegaConf.load(path))
    assert isinstance(node, dict)
    if "pred" in node:
        return [Term(path.stem, torch.clone, node["pred"], node["target"])]  # only what it reads matters
    parts = [p for p in node.get("defaults", []) if isinstance(p, str) and p != "_self_"]
    return [term for part in parts for term in _file_terms(path.parent / f"{part}.yaml")]


def build_module(config: Mapping[str, Any], trusted: Sequence[str] = ()) -> ReconstructionModule:
    """The LightningModule of a plain config.

    Raises:
        UserError: code that may not run, arguments that do not fit, a loss that the model cannot be trained with.
    """
    trust.check({k: config[k] for k in ("model", "loss", "metrics")}, trusted)
    model = dict(config["model"])
    network = instantiate(model["network"])
    terms = build_terms(config["loss"])
    gives = getattr(network, "gives", network.predicts.tensors)
    check_terms(terms, model["name"], network.predicts, fitting_losses(gives), gives)
    chosen = {k: v for k, v in (model.get("regularisers") or {}).items() if k not in config["loss"]}
    off = set(network.predicts.tensors) - set(gives)  # of heads that this model is configured without
    regularisers = [term for term in build_terms(chosen) if not off & set(term.reads)]
    check_terms([*terms, *regularisers], model["name"], network.predicts, fitting_losses(gives), gives)
    module = trust.locate(model["_target_"])(
        network=network,
        terms=[*terms, *regularisers],
        metrics=instantiate(config["metrics"]),
        optimizer=instantiate(model["optimizer"], _partial_=True),
        scheduler=instantiate(model["scheduler"], _partial_=True) if model.get("scheduler") else None,
    )
    module.config = {k: config[k] for k in KEPT if k in config}
    return module


def image_size(data: Mapping[str, Any]) -> tuple[int, int] | None:
    """(h, w) of the images of a data config; None where it has none."""
    node: Any = data
    for key in size_key(data).split("."):
        node = node.get(key) if isinstance(node, Mapping) else None
    return None if node is None else (node, node) if isinstance(node, int) else (int(node[0]), int(node[1]))


def without_sources(config: Mapping[str, Any], rebuild: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The config of a checkpoint with arguments that make parts of its network leave their pretrained weights alone.

    Args:
        config: plain config; it is not changed.
        rebuild: dotted path inside the network -> arguments of that part.
    """
    changed: dict[str, Any] = copy.deepcopy(dict(config))
    for path, arguments in rebuild.items():
        node = changed["model"]["network"]
        for key in path.split("."):
            node = node.get(key) if isinstance(node, dict) else None
        if isinstance(node, dict):
            node.update(arguments)
    return changed


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def load_module(path: str | Path, trusted: Sequence[str] = ()) -> ReconstructionModule:
    """The trained module of a checkpoint, in evaluation mode; nothing but tensors and plain values is unpickled.

    `trusted` packages are the user's own, from the command line: a checkpoint names none.

    Raises:
        UserError: no such file, not one of ours, another format, or weights that do not fit the config beside them.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"there is no checkpoint {path}: a run writes it to <run folder>/checkpoints/")
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # unpickling reports a damaged or foreign file by almost any error
        kind = type(error).__name__
        raise UserError(f"{path} cannot be read as a checkpoint ({kind}): is it whole, and lit3d's?") from None
    entry = saved.get("lit3d") if isinstance(saved, dict) else None
    if not isinstance(entry, dict) or entry.get("format") != FORMAT:
        found = entry.get("format") if isinstance(entry, dict) else "none"
        raise UserError(f"{path} is no checkpoint of this version of lit3d: format {FORMAT} is expected, {found} found")
    try:
        module = build_module(without_sources(entry["config"], entry.get("rebuild", {})), trusted)
        module.config = {k: entry["config"][k] for k in KEPT if k in entry["config"]}
        module.load_state_dict(saved["state_dict"])
        module.trained_steps = int(saved["global_step"])
    except KeyError as error:
        raise UserError(f"{path} is no whole checkpoint of lit3d: it has no {error}") from None
    except RuntimeError as error:
        raise UserError(f"{path}: the weights do not fit the config stored with them: {_short(error)}") from None
    return module.eval()


def load_image_module(path: str | Path, trusted: Sequence[str] = ()) -> ReconstructionModule:
    """As `load_module`, for what needs images.

    Raises:
        UserError: also for a free point set that was trained against a shape family.
    """
    module = load_module(path, trusted)
    if image_size(module.config["data"]) is None:
        raise UserError(
            f"{path} was trained against the shape family '{module.config['data'].get('name')}', which has no images: "
            "its points and numbers are in points.npz and results.json of its run folder"
        )
    return module
