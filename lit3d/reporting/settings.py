"""What varied between runs and what was held fixed, from their resolved configs; runs that differ in the seed alone."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lit3d.reporting.folders import Run

# Where a run wrote, how it was shown and how fast it was read: these do not change a number.
NO_MATTER = ("paths", "logger", "resume", "sweep", "group", "labels", "name", "lit3d", "hydra", "data.root",
             "data.workers")  # fmt: skip
FIRST = ("model", "loss", "data", "seed")  # names of their own for what people compare
ABSENT = "–"


@dataclass(frozen=True)
class Varied:
    """Something that differs between runs.

    Attributes:
        name: the key that tells it best.
        values: one a run, as text.
        others: further keys that change exactly when it does.
        follows: whether it is settled by what stands before it: another loss brings another function.
    """

    name: str
    values: tuple[str, ...]
    others: tuple[str, ...]
    follows: bool = False


@dataclass(frozen=True)
class Setting:
    """Runs that differ in the seed alone, by their positions; `label` is what tells it from the other settings."""

    label: str
    runs: tuple[int, ...]


def facts(run: Run) -> dict[str, str]:
    """A resolved config as flat text: dotted key -> value, without what does not matter to a number."""
    config = run.config
    flat = _flat({k: v for k, v in config.items() if k != "loss"}) | _flat(config.get("loss") or {}, "loss")
    output = str((config.get("paths") or {}).get("output"))
    kept = {k: v for k, v in flat.items() if not _matters_not(k) and output not in v}
    model, loss = run.results.get("model"), run.results.get("loss")
    named = {
        "model": str((config.get("model") or {}).get("name") or model),
        "loss": "+".join(config.get("loss") or loss or ()),
        "data": str((config.get("data") or {}).get("name")),
        "seed": str(config.get("seed", run.results.get("seed"))),
    }
    return named | {k: v for k, v in kept.items() if k not in ("model.name", "data.name", "seed")}


def _matters_not(key: str) -> bool:
    return any(key == name or key.startswith(f"{name}.") for name in NO_MATTER)


def _flat(node: Any, path: str = "") -> dict[str, str]:
    if isinstance(node, Mapping) and node:
        parts = (_flat(v, f"{path}.{k}" if path else str(k)) for k, v in node.items())
        return {k: v for part in parts for k, v in part.items()}
    return {path: node if isinstance(node, str) else json.dumps(node, default=str)}


def compare(runs: Sequence[Run]) -> tuple[list[Varied], dict[str, str], list[Setting]]:
    """What varied, what was held fixed, and the settings, in the order of their first runs."""
    every = [facts(run) for run in runs]
    keys = [k for k in dict.fromkeys(k for found in every for k in found) if not _is_the_seed(k, every)]
    columns = {k: tuple(found.get(k, ABSENT) for found in every) for k in keys}
    fixed = {k: v[0] for k, v in columns.items() if len(set(v)) == 1}
    groups: dict[tuple[int, ...], list[str]] = {}
    for key in keys:
        if key not in fixed:
            groups.setdefault(_pattern(columns[key]), []).append(key)
    given = {o.lstrip("+~").split("=")[0] for run in runs for o in run.overrides}
    varied = [_varied(names, columns, given) for names in groups.values()]
    first = {name: n for n, name in enumerate(("model", "loss", "data"))}
    varied.sort(key=lambda v: (v.name == "seed", first.get(v.name, 3), v.name not in given))
    varied = _marked(varied)
    return varied, fixed, _settings(runs, varied, columns)


def _is_the_seed(key: str, every: Sequence[Mapping[str, str]]) -> bool:
    """Whether a key is another name of the seed: a part of a model that is given `${seed}`."""
    return key.endswith(".seed") and all(found[key] == found["seed"] for found in every if key in found)


def _marked(varied: Sequence[Varied]) -> list[Varied]:
    """What splits the runs no further than what stands before it follows from that."""
    found: list[Varied] = []
    before: list[tuple[str, ...]] = []
    for v in varied:
        old = len(set(zip(*before, strict=True))) if before else 1
        follows = v.name != "seed" and len(set(zip(*before, v.values, strict=True))) == old
        found.append(replace(v, follows=follows))
        before += [] if follows or v.name == "seed" else [v.values]
    return found


def _pattern(values: Sequence[str]) -> tuple[int, ...]:
    """Which runs have the same value, whatever it is."""
    first: dict[str, int] = {}
    return tuple(first.setdefault(v, i) for i, v in enumerate(values))


def _varied(names: Sequence[str], columns: Mapping[str, tuple[str, ...]], given: set[str]) -> Varied:
    def rank(key: str) -> tuple[int, int, int, int]:
        first = FIRST.index(key) if key in FIRST else len(FIRST)
        return first, key not in given, ABSENT in columns[key], key.count(".")

    best, *others = sorted(names, key=rank)
    return Varied(best, columns[best], tuple(others))


def _settings(
    runs: Sequence[Run], varied: Sequence[Varied], columns: Mapping[str, tuple[str, ...]]
) -> list[Setting]:
    """Runs are of one setting where all that varies, apart from the seed, is the same.

    A label names what tells a setting from those that it may be compared with; data that only others have is left out.
    """
    telling = [v for v in varied if v.name != "seed" and not v.follows]
    found: dict[tuple[Any, ...], list[int]] = {}
    for i, run in enumerate(runs):
        found.setdefault((run.scored_on, *(v.values[i] for v in telling)), []).append(i)
    names = _short_names([v.name for v in telling])
    settings: list[Setting] = []
    for key, members in found.items():
        rivals = [other[1:] for other in found if other[0] == key[0]]
        differs = [len({rival[k] for rival in rivals}) > 1 for k in range(len(names))]
        parts = [_part(n, v) for n, v, told in zip(names, key[1:], differs, strict=True) if told]
        label = ", ".join(p for p in parts if p) or _default_label(columns, members[0])
        if runs[members[0]].of_points:
            label = f"{key[0][0]}: {label}"
        settings.append(Setting(_unique(label, columns["data"][members[0]], settings), tuple(members)))
    return settings


def _unique(label: str, data: str, settings: Sequence[Setting]) -> str:
    taken = {s.label for s in settings}
    choices = (label, f"{label}, {data}", *(f"{label} ({k})" for k in range(2, len(taken) + 3)))
    return next(choice for choice in choices if choice not in taken)


def _default_label(columns: Mapping[str, tuple[str, ...]], i: int) -> str:
    return ", ".join(columns[k][i] for k in ("model", "loss") if columns[k][i])


def _short_names(keys: Sequence[str]) -> list[str]:
    """The last parts of dotted keys, as many as tell them apart."""
    found = []
    for key in keys:
        parts = key.split(".")
        ends = [".".join(parts[-k:]) for k in range(1, len(parts) + 1)]
        clear = (e for e in ends if e not in FIRST and sum(o == e or o.endswith(f".{e}") for o in keys) == 1)
        found.append(key if key in FIRST else next(clear, key))
    return found


def _part(name: str, value: str) -> str:
    if value == ABSENT:
        return ""
    text = value if len(value) <= 32 else f"{value[:15]}…{value[-15:]}"
    if name in FIRST:
        return text
    return f"{name.removesuffix('._target_')}={text.rsplit('.', 1)[-1] if '_target_' in name else text}"
