"""Which code a config may name: refused before anything is instantiated, because instantiating is running."""

from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any

from lit3d.errors import UserError

# Defined by lit3d in these sub-packages: checked on the resolved object, because a dotted text can pass re-exports.
OWN = ("networks", "losses", "metrics", "modules", "data", "synthesis", "callbacks")

# Others by exact name. A package is no boundary: torch.load and torch.hub.load run code.
NAMED = frozenset({
    "torch.optim.Adam", "torch.optim.AdamW", "torch.optim.SGD",
    "pytorch_lightning.Trainer",
    "pytorch_lightning.callbacks.ModelCheckpoint",
    "pytorch_lightning.callbacks.LearningRateMonitor",
    "pytorch_lightning.loggers.CSVLogger", "pytorch_lightning.loggers.WandbLogger",
    "pytorch_lightning.loggers.TensorBoardLogger", "pytorch_lightning.loggers.MLFlowLogger",
})  # fmt: skip


def targets(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every `_target_` of a resolved config with the path of the node that holds it."""
    if isinstance(node, dict):
        if "_target_" in node:
            yield path or "the config", node["_target_"]
        for key, child in node.items():
            yield from targets(child, f"{path}.{key}" if path else str(key))
    elif isinstance(node, (list, tuple)):
        for i, child in enumerate(node):
            yield from targets(child, f"{path}[{i}]")


def check(config: dict[str, Any], trusted: Sequence[str] = ()) -> None:
    """Refuse a resolved config that names code outside lit3d's own parts and the written list.

    Args:
        config: plain, resolved dictionary.
        trusted: the user's own packages, from the command line only (`lit3d.trust=[mypkg]`), never from a checkpoint.

    Raises:
        UserError: naming the node and the target.
    """
    for path, target in targets(config):
        if not (isinstance(target, str) and (target in NAMED or _trusted(target, trusted) or _own(target))):
            raise UserError(
                f"{path} names the code '{target}', which configs may not run: allowed are parts of lit3d "
                f"({', '.join(OWN)}) and a fixed list; trust a package of your own with 'lit3d.trust=[package]'"
            )


def _trusted(target: str, trusted: Sequence[str]) -> bool:
    return any(target == name or target.startswith(f"{name}.") for name in trusted if name not in ("lit3d", ""))


def _own(target: str) -> bool:
    parts = target.split(".")
    if parts[0] != "lit3d" or len(parts) < 3 or parts[1] not in OWN:
        return False
    thing = locate(target)
    home = getattr(thing, "__module__", "") or ""
    return callable(thing) and home.startswith("lit3d.") and home.split(".")[1] in OWN


def locate(target: str) -> Any:
    """The object that a dotted name of lit3d stands for.

    Raises:
        UserError: there is none.
    """
    module, _, name = target.rpartition(".")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise UserError(f"there is no '{target}' ({error})") from None
