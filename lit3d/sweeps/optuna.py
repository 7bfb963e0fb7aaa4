"""A search over hyperparameters: trials are jobs of a sweep, chosen by Optuna.

Hydra's own Optuna plugin is bound to an Optuna of 2021. The study needs no database: which values a trial gets is a
function of the seed and of the results before it, so a search that is started again replays what `optuna.json` holds
and goes on with the trials that were cut short.
"""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from rich.console import Console

from lit3d.errors import UserError
from lit3d.sweeps.command import write_json

RECORD = "optuna.json"


class OptunaSweeper(Sweeper):
    """Chooses trials by Optuna's TPE from what the ones before came to.

    Args:
        trials: how many.
        at_once: how many are chosen, and handed to the launcher, before their results are known.
        direction: minimize or maximize what a job returns.
        seed: of the choice.
        random_trials: so many are drawn blindly first.
        space: key -> Hydra's `choice(...)`, `range(...)`, `interval(...)` or `tag(log,interval(...))`; a plain value is
            the same in all trials. The command line adds and overrides keys.
    """

    config: Any = None
    hydra_context: Any = None
    launcher: Any = None

    def __init__(self, trials: int = 20, at_once: int = 1, direction: Literal["minimize", "maximize"] = "minimize",
                 seed: int = 0, random_trials: int = 5, space: Mapping[str, Any] | None = None) -> None:  # fmt: skip
        if direction not in ("minimize", "maximize") or min(trials, at_once) < 1:
            raise UserError("hydra.sweeper: trials and at_once must be at least 1, direction minimize or maximize")
        self.direction: Literal["minimize", "maximize"] = direction
        self.trials, self.at_once, self.seed = trials, at_once, seed
        self.random_trials, self.space = random_trials, dict(space or {})

    def setup(self, *, hydra_context: Any, task_function: Any, config: Any) -> None:
        """Hydra's hook."""
        self.config, self.hydra_context = config, hydra_context
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> dict[str, Any]:
        """Run all trials; returns the record of the best one."""
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        texts = [f"{key}={value}" for key, value in self.space.items()] + arguments
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        fixed, choices = split({o.get_key_element(): o for o in parser.parse_overrides(texts)})
        sampler = optuna.samplers.TPESampler(seed=self.seed, n_startup_trials=self.random_trials)
        study = optuna.create_study(direction=self.direction, sampler=sampler)
        folder = Path(str(self.config.hydra.sweep.dir))
        known = _recorded(folder)
        done: list[dict[str, Any]] = []
        while len(done) < self.trials:
            batch = [study.ask(choices) for _ in range(min(self.at_once, self.trials - len(done)))]
            overrides = [[*fixed, *(f"{k}={v}" for k, v in trial.params.items())] for trial in batch]
            replayed = known[len(done) : len(done) + len(batch)]
            if [row["overrides"] for row in replayed] == overrides:
                values = [row["value"] for row in replayed]
            else:
                self.validate_batch_is_legal(overrides)
                values = [_number(r.return_value) for r in self.launcher.launch(overrides, len(done))]
            for trial, value in zip(batch, values, strict=True):
                study.tell(trial, value, state=None if value is not None else optuna.trial.TrialState.FAIL)
            done += [{"overrides": o, "value": v} for o, v in zip(overrides, values, strict=True)]
            _write(folder, done)
        return self._best(folder, done)

    def _best(self, folder: Path, done: list[dict[str, Any]]) -> dict[str, Any]:
        scored = [(row["value"], number) for number, row in enumerate(done) if row["value"] is not None]
        if not scored:
            raise UserError(f"not one of {len(done)} trials came to a number: their folders say why")
        value, number = min(scored) if self.direction == "minimize" else max(scored)
        best = {"trial": number, "value": value, "overrides": done[number]["overrides"]}
        _write(folder, done, best)
        final = " ".join(o for o in best["overrides"] if not o.startswith("test="))
        console = Console(soft_wrap=True, highlight=False)
        console.print(f"\nBest of {len(done)} trials: number {number}, {value:.6g}", style="bold")
        console.print(f"Train it   python -m lit3d.run {final}", markup=False)
        return best


def split(overrides: Mapping[str, Override]) -> tuple[list[str], dict[str, Any]]:
    """What is the same in all trials, as overrides, and Optuna's distributions of what varies.

    Raises:
        UserError: nothing varies.
    """
    fixed = [f"{key}={o.get_value_element_as_str()}" for key, o in overrides.items() if not o.is_sweep_override()]
    choices = {key: distribution(o) for key, o in overrides.items() if o.is_sweep_override()}
    if not choices:
        raise UserError("a search needs a key that varies: key=choice(a,b), range(1,5) or interval(0.1,1)")
    return fixed, choices


def distribution(override: Override) -> Any:
    """Optuna's distribution for Hydra's `choice`, `range`, `interval`; the tag `log` makes an interval logarithmic."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    value = override.value()
    if isinstance(value, ChoiceSweep):
        return CategoricalDistribution([*override.sweep_string_iterator()])
    if isinstance(value, RangeSweep):
        assert value.start is not None
        assert value.stop is not None
        if all(isinstance(v, int) for v in (value.start, value.stop, value.step)):
            last = value.start + (value.stop - 1 - value.start) // int(value.step) * int(value.step)
            return IntDistribution(int(value.start), int(last), step=int(value.step))
        return CategoricalDistribution([*override.sweep_string_iterator()])
    assert isinstance(value, IntervalSweep)
    assert value.start is not None
    assert value.end is not None
    return FloatDistribution(float(value.start), float(value.end), log="log" in value.tags)


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _recorded(folder: Path) -> list[dict[str, Any]]:
    try:
        return json.loads((folder / RECORD).read_text(encoding="utf-8"))["trials"]
    except (OSError, ValueError, KeyError):
        return []


def _write(folder: Path, trials: Sequence[Mapping[str, Any]], best: Mapping[str, Any] | None = None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / RECORD, {"best": best, "trials": list(trials)})
