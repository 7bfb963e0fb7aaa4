"""Which code a config may name: refused before anything is instantiated, because instantiating is running."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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


def interpolations(node: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every text with an interpolation that is left in a resolved config, with its path."""
    if isinstance(node, dict):
        for key, child in node.items():
            yield from interpolations(child, f"{path}.{key}" if path else str(key))
    elif isinstance(node, (list, tuple)):
        for i, child in enumerate(node):
            yield from interpolations(child, f"{path}[{i}]")
    elif isinstance(node, str) and "${" in node:
        yield path, node


def check(config: dict[str, Any], trusted: Sequence[str] = ()) -> None:
    """Refuse a resolved config that names code outside lit3d's own parts and the written list.

    Args:
        config: plain, resolved dictionary.
        trusted: the user's own packages, from the command line only (`lit3d.trust=[mypkg]`), never from a checkpoint.

    Raises:
        UserError: naming the node and the target; or a text with `${...}`: Hydra would resolve it while it builds, and
            `${oc.create:...}` becomes a node with a target that nobody has seen.
    """
    for path, text in interpolations(config):
        raise UserError(f"{path} names the code '{text}', which would be resolved only after this check: write it out")
    for path, target in targets(config):
        if not (isinstance(target, str) and (target in NAMED or _trusted(target, trusted) or _own(target))):
            raise UserError(
                f"{path} names the code '{target}', which configs may not run: allowed are parts of lit3d "
                f"({', '.join(OWN)}) and a fixed list; trust a package of your own with 'lit3d.trust=[package]'"
            )


# What Hydra itself starts before any of our code: by exact name, too.
LAUNCHED = frozenset({
    "hydra._internal.core_plugins.basic_launcher.BasicLauncher",
    "hydra._internal.core_plugins.basic_sweeper.BasicSweeper",
    "hydra.experimental.callbacks.LogJobReturnCallback",
    "hydra_plugins.hydra_submitit_launcher.submitit_launcher.LocalLauncher",
    "hydra_plugins.hydra_submitit_launcher.submitit_launcher.SlurmLauncher",
    "hydra_plugins.lit3d.JoblibLauncher", "hydra_plugins.lit3d.RayLauncher", "hydra_plugins.lit3d.OptunaSweeper",
})  # fmt: skip
LOGGING = frozenset({"logging.Formatter", "logging.StreamHandler", "logging.FileHandler", "logging.NullHandler",
                     "colorlog.ColoredFormatter"})  # fmt: skip


def check_hydra(node: dict[str, Any]) -> None:
    """Refuse launchers, sweepers, callbacks and log handlers that are not on a list: Hydra starts them unasked.

    Args:
        node: the config's part `hydra`, plain and resolved as far as that is possible.

    Raises:
        UserError: naming the node and the code.
    """
    found = [(path, target, LAUNCHED) for path, target in targets(node, "hydra")]
    for part in ("hydra_logging", "job_logging"):
        found += [(path, name, LOGGING) for path, name in _logging_code(node.get(part), f"hydra.{part}")]
    for path, target, allowed in found:
        if target not in allowed:
            raise UserError(f"{path} names the code '{target}', which Hydra may not start here: docs/reliability.md")


def _logging_code(node: Any, path: str) -> Iterator[tuple[str, Any]]:
    """What Python's logging would call or look up."""
    if isinstance(node, dict):
        for key, child in node.items():
            if key in ("()", "class"):
                yield path, child
            yield from _logging_code(child, f"{path}.{key}")
    elif isinstance(node, list):
        for i, child in enumerate(node):
            yield from _logging_code(child, f"{path}[{i}]")
    elif isinstance(node, str) and node.startswith("ext://") and node not in ("ext://sys.stdout", "ext://sys.stderr"):
        yield path, node


@contextmanager
def hydra_checked() -> Iterator[None]:
    """While it lasts, every config that Hydra composes is looked at before Hydra acts on it."""
    from hydra._internal.config_loader_impl import ConfigLoaderImpl  # there is no public place that early

    original = ConfigLoaderImpl.load_configuration

    def checked(self: Any, *arguments: Any, **named: Any) -> Any:
        cfg = original(self, *arguments, **named)
        check_hydra(_as_far_as_possible(cfg.hydra))
        return cfg

    ConfigLoaderImpl.load_configuration = checked  # type: ignore[method-assign]
    try:
        yield
    finally:
        ConfigLoaderImpl.load_configuration = original  # type: ignore[method-assign]


def _as_far_as_possible(node: Any) -> Any:
    """A plain tree; interpolations that lead nowhere before a job begins are None, which no list allows as code."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    def at(key: Any) -> Any:
        try:
            return _as_far_as_possible(node[key])
        except (OmegaConfBaseException, ValueError):
            return None

    if OmegaConf.is_dict(node):
        return {key: at(key) for key in node}
    return [at(i) for i in range(len(node))] if OmegaConf.is_list(node) else node


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
