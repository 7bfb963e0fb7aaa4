"""How an entry point starts: find conf/, answer --help at once, compose, and turn mistakes into sentences.

Nothing here imports torch: a typo is answered before anything heavy is loaded.
"""

import os
import re
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from lit3d.errors import UserError, did_you_mean

EXAMPLES = {
    "run": (
        ("python -m lit3d.run model=pointset loss=cd", "one run on the default set"),
        ("python -m lit3d.run model=depth loss=l1", "depth of every pixel in place of points"),
        ("python -m lit3d.run model=mesh_deform", "a mesh, deformed from a template"),
        ("python -m lit3d.run model=occupancy", "a field: inside or outside of any place, then a mesh"),
        ("python -m lit3d.run debug=tiny", "the same in under 30 s, to see that all works"),
        ("python -m lit3d.run -m loss=cd,emd seed=0,1", "a sweep: four runs; again after a crash, it goes on"),
        ("python -m lit3d.run resume=last", "go on after Ctrl-C or a crash"),
        ("python -m lit3d.run --cfg job", "print the whole config, run nothing"),
    ),
    "synthesize": (
        ("python -m lit3d.synthesize", "make the default set"),
        ("python -m lit3d.synthesize data=folder data.source.root=meshes", "render a folder of your own meshes"),
    ),
    "evaluate": (
        ("python -m lit3d.evaluate checkpoint=best.ckpt protocol=all", "a run's weights, as papers score"),
        ("python -m lit3d.evaluate predictions=shapes data=grammar", "score .ply, .obj, .npz of any software"),
    ),
    "report": (
        ("python -m lit3d.report runs=multirun/DATE", "a sweep as one HTML page, offline"),
        ("python -m lit3d.report 'runs=[outputs/a,outputs/b]' baseline=a", "these runs; gains over a"),
        ("python -m lit3d.report runs=multirun/DATE format=md output=-", "tables in the terminal"),
    ),
    "dashboard": (
        ("python -m lit3d.dashboard dry_run=true", "what would be created, without an account"),
        ("python -m lit3d.dashboard entity=ME project=lit3d", "create it"),
    ),
    "predict": (
        ("python -m lit3d.predict checkpoint=best.ckpt image=photo.jpg", "a photo -> .ply, .glb, picture"),
        ("python -m lit3d.predict checkpoint=best.ckpt export=onnx", "the network for elsewhere"),
    ),
}


def config_dir() -> Path:
    """The folder of YAML files: inside the package in an installed wheel, beside it in a checkout."""
    here = Path(__file__).resolve().parent
    return here / "conf" if (here / "conf").is_dir() else here.parent / "conf"


def launch(name: str, task: Callable[[Any], float | None]) -> None:
    """Run `task(cfg)` as the Hydra application `conf/<name>.yaml`; mistakes of the user end in one sentence, exit 2.

    With -m, each job is a folder of a sweep that can be continued: `lit3d.sweeps`.
    """
    if {"--help", "-h"} & set(sys.argv[1:]):
        print(help_text(name))
        return
    import hydra

    from lit3d import trust
    from lit3d.sweeps import command, jobs, running

    register_resolvers()
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # Hydra hands its exceptions over instead of printing them
    try:
        sys.argv[1:], sweep = command.prepare(name, sys.argv[1:])
        app = hydra.main(version_base="1.3", config_path=str(config_dir()), config_name=name)(jobs.Job(task))
        with trust.hydra_checked():
            app() if sweep is None else running.run(sweep, app)
    except UserError as error:
        raise SystemExit(_complain(str(error))) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except Exception as error:
        sentence = composition_mistake(name, error)
        if sentence is None:
            raise
        raise SystemExit(_complain(sentence)) from None


def _complain(sentence: str) -> int:
    print(f"lit3d: {sentence}", file=sys.stderr)
    return 2


def register_resolvers() -> None:
    """Functions that configs may use in interpolations."""
    from omegaconf import OmegaConf

    OmegaConf.register_new_resolver("joined_keys", lambda node: "+".join(node), replace=True)
    OmegaConf.register_new_resolver("fifth", lambda steps: max(1, steps // 5) if steps > 0 else 660, replace=True)
    OmegaConf.register_new_resolver("fast_precision", fast_precision, replace=True)
    OmegaConf.register_new_resolver("evaluated", evaluated, replace=True)
    OmegaConf.register_new_resolver("monitored", monitored, replace=True)
    OmegaConf.register_new_resolver("sweep_folder", sweep_folder, replace=True)
    OmegaConf.register_new_resolver("job_number", job_number, replace=True)
    OmegaConf.register_new_resolver("size_key", size_key, replace=True)
    OmegaConf.register_new_resolver("short_id", lambda: uuid.uuid4().hex[:4], use_cache=True, replace=True)


def sweep_folder() -> str | None:
    """Name of the folder of the sweep that a job belongs to: its group in dashboards. None outside of a sweep."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    if not HydraConfig.initialized() or HydraConfig.get().mode != RunMode.MULTIRUN:
        return None
    return Path(HydraConfig.get().sweep.dir).name


def job_number() -> str:
    """What tells the runs of a sweep apart in dashboards: `-3` in its fourth job, nothing outside of a sweep."""
    from hydra.core.hydra_config import HydraConfig

    return "" if sweep_folder() is None else f"-{HydraConfig.get().job.num}"


def fast_precision() -> str:
    """Mixed bfloat16 where the machine multiplies it in hardware (CUDA, CPUs with AMX or AVX512_BF16), else 32-true."""
    import torch

    if torch.cuda.is_available():
        return "bf16-mixed" if torch.cuda.is_bf16_supported() else "32-true"
    able = torch.cpu.get_capabilities()
    return "bf16-mixed" if able.get("amx_bf16") or able.get("avx512_bf16") else "32-true"


def monitored(hypotheses: int) -> str:
    """What says which weights are the best: of one answer its distance, of several the loss of the best of them."""
    return "val/loss" if hypotheses > 1 else "val/chamfer_l1"


def size_key(data: Any) -> str:
    """Where a data config says the size of its images: pictures that are made by synthesis, others by themselves."""
    return "image_size" if "image_size" in data else "synthesis.image_size"


def evaluated(checkpoint: str | None, predictions: str | None) -> str:
    """Name of what an evaluation scores: of the run that wrote a checkpoint, of a folder of predictions."""
    if checkpoint is None:
        return "nothing" if predictions is None else Path(predictions).resolve().name
    record = Path(checkpoint).resolve().parents[1] / "config.yaml"
    name = re.search(r"^name: (\S+)$", record.read_text(encoding="utf-8"), re.M) if record.is_file() else None
    return name[1] if name else Path(checkpoint).stem


def compose(name: str, overrides: list[str] | None = None) -> Any:
    """The config of an application as its command line would give it, for notebooks and tests."""
    import hydra

    register_resolvers()
    with hydra.initialize_config_dir(str(config_dir()), version_base="1.3"):
        return hydra.compose(name, overrides or [])


# --- help ---------------------------------------------------------------------------------------------------------


def groups() -> dict[str, list[Path]]:
    """Every config group and its option files; names that begin with an underscore are parts of others."""
    found: dict[str, list[Path]] = {}
    for path in sorted(config_dir().rglob("*.yaml")):
        group = path.parent.relative_to(config_dir()).as_posix()
        if group != "." and not path.name.startswith("_"):
            found.setdefault(group, []).append(path)
    return found


def first_comment(path: Path) -> str:
    """What a YAML file says about itself: its first comment that is not a package directive."""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("#") and "@package" not in line:
            return line.lstrip("# ").strip()
    return ""


def help_text(name: str) -> str:
    """Usage, examples, and every group and option with a line each."""
    root = config_dir() / f"{name}.yaml"
    lines = [f"python -m lit3d.{name}: {first_comment(root).split(': ', 1)[-1]}", "", "Examples"]
    lines += [f"  {command:<58} {what}" for command, what in EXAMPLES.get(name, ())]
    used = set(re.findall(r"^\s*-\s*(?:optional )?(?:override )?/?([\w/]+)(?:@\S+)?:", root.read_text(), re.M))
    lines += ["", "Groups (group=option)"]
    for group, options in groups().items():
        if group.split("/")[0] in used:
            lines.append(f"  {group}")
            lines += [f"    {path.stem:<14} {first_comment(path)}" for path in options]
    lines += ["", "Keys of this command (key=value)"]
    lines += [f"  {key:<16} {what}" for key, what in _own_keys(root)]
    return "\n".join(lines)


def _own_keys(root: Path) -> Iterator[tuple[str, str]]:
    for line in root.read_text(encoding="utf-8").splitlines():
        if match := re.match(r"(\w+):.*?#\s*(.+)$", line):
            yield match[1], match[2]


# --- mistakes on the command line -----------------------------------------------------------------------------------


def composition_mistake(name: str, error: Exception) -> str | None:
    """One sentence for an error of config composition, None for any other error."""
    from hydra.errors import HydraException

    if not isinstance(error, HydraException):
        return None
    text = str(error)
    if match := re.search(r"Could not find '([\w/]+)/([^'/]+)'", text):
        return _unknown_option(match[1], match[2])
    if match := re.search(r"Could not override '([^']+)'", text):
        return _unknown_key(name, match[1])
    if match := re.search(r"(?:Key|key) '?([\w.]+)'? is not in struct", text):
        return _unknown_key(name, match[1])
    if match := re.search(r"override '([^']+)'", text):
        return f"cannot apply '{match[1]}': {text.splitlines()[0]}"
    return text.splitlines()[0]


def _unknown_option(group: str, option: str) -> str:
    known = [path.stem for path in groups().get(group, [])]
    if option.startswith("submitit"):  # what slurm and slurm_local stand on
        return f"{group}=slurm needs submitit: pip install 'lit3d[submitit]'"
    return f"{group}={option}: there is no such {group}.{did_you_mean(option, known)} Known: {', '.join(known)}."


def _unknown_key(name: str, key: str) -> str:
    known = [*_flat_keys(compose(name)), *groups()]
    close = did_you_mean(key, known) or did_you_mean(key.split(".")[-1], known)
    advice = f"--cfg job prints all keys, +{key}=... adds one"
    return f"'{key}' is not a key or group of python -m lit3d.{name}.{close} ({advice})"


def _flat_keys(node: Any, prefix: str = "") -> Iterator[str]:
    from omegaconf import DictConfig

    for key in node:
        yield f"{prefix}{key}"
        child = node._get_node(key)
        if isinstance(child, DictConfig) and child._is_none() is False and child._is_missing() is False:
            if not child._is_interpolation():
                yield from _flat_keys(child, f"{prefix}{key}.")
