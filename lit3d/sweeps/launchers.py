"""Where the jobs of a sweep run: processes of this machine (joblib), a Ray cluster.

Hydra's own joblib plugin loses a whole sweep when the system kills one process (memory used up), and its Ray plugin
cannot be installed beside current packages; hence these. SLURM is the business of hydra-submitit-launcher.
"""

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus, configure_log, run_job, setup_globals
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig, OmegaConf, open_dict

from lit3d.errors import UserError
from lit3d.sweeps.command import write_json
from lit3d.sweeps.jobs import STATUS, read_status
from lit3d.sweeps.optuna import OptunaSweeper

KILLED = "its process was killed, most likely because the memory was used up"
Overrides = Sequence[Sequence[str]]


def register() -> None:
    """Make them known under the one namespace that Hydra takes plugins from."""
    for plugin in (JoblibLauncher, RayLauncher, OptunaSweeper):
        Plugins.instance().class_name_to_class[f"hydra_plugins.lit3d.{plugin.__name__}"] = plugin


class _Elsewhere(Launcher):
    """What both share: jobs of other processes, whose folders say how they ended."""

    config: Any = None
    context: Any = None
    task: Any = None

    def setup(self, *, hydra_context: Any, task_function: Callable[[Any], Any], config: DictConfig) -> None:
        """Hydra's hook."""
        self.config, self.context, self.task = config, hydra_context, task_function

    def prepared(self) -> tuple[Any, ...]:
        """What a job needs beside its overrides."""
        from hydra.core.singleton import Singleton

        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        return self.context, self.config, self.task, Singleton.get_state(), os.getcwd()

    def folder(self, number: int) -> Path | None:
        """A job's folder, once it has begun."""
        home = Path(str(self.config.hydra.sweep.dir))
        return next((p for p in (*home.glob(f"{number}_*"), home / str(number)) if p.is_dir()), None)

    def status(self, number: int, since: float) -> dict[str, Any]:
        """What a job has said since then."""
        folder = self.folder(number)
        if folder is None or not (folder / STATUS).is_file() or (folder / STATUS).stat().st_mtime < since:
            return {}
        return read_status(folder)

    def mark_killed(self, number: int) -> None:
        """Write down what the job could not."""
        if folder := self.folder(number):
            write_json(folder / STATUS, {"status": "failed", "reason": KILLED, "seconds": None})


def execute(number: int, overrides: Sequence[str], context: Any, config: DictConfig, task: Any, state: Any,
            home: str) -> float | None:
    """One job in another process; its number alone comes back."""
    from hydra.core.singleton import Singleton

    os.chdir(home)
    multiprocessing.set_start_method(None, force=True)  # not joblib's, which processes that a job starts do not know
    setup_globals()
    Singleton.set_state(state)
    cfg = context.config_loader.load_sweep_config(config, list(overrides))
    with open_dict(cfg):
        cfg.hydra.job.id = cfg.hydra.job.num = number
    return run_job(hydra_context=context, config=cfg, task_function=task, job_dir_key="hydra.sweep.dir",
                   job_subdir_key="hydra.sweep.subdir").return_value  # fmt: skip


def returned(value: Any) -> JobReturn:
    """What sweepers expect of a job that gave this number."""
    result = JobReturn(status=JobStatus.COMPLETED)
    result.return_value = value
    return result


class JoblibLauncher(_Elsewhere):
    """Processes of this machine; each has cores / n_jobs threads.

    When the system kills a process, joblib ends all of them. Those that were at a job run again, one by one, from their
    last checkpoints; whoever is killed alone has failed, and the rest of the sweep goes on as before.

    Args:
        n_jobs: how many jobs at a time; -1: one a core.
        options: further arguments of `joblib.Parallel`.
    """

    def __init__(self, n_jobs: int = 2, **options: Any) -> None:
        _installed("joblib", "joblib")
        self.n_jobs, self.options = n_jobs, {k: v for k, v in options.items() if k != "backend"}

    def launch(self, job_overrides: Overrides, initial_job_idx: int) -> list[JobReturn]:
        """Run jobs; their numbers count from `initial_job_idx`."""
        jobs = dict(enumerate(job_overrides, initial_job_idx))
        return [returned(value) for value in self._run(jobs).values()]

    def _run(self, jobs: dict[int, Sequence[str]]) -> dict[int, float | None]:
        from joblib.externals.loky.process_executor import BrokenProcessPool

        since = time.time() - 1  # file systems round
        try:
            return self._together(jobs)
        except BrokenProcessPool:
            states = {number: self.status(number, since) for number in jobs}
        for number in (n for n, status in states.items() if status.get("status") == "running"):
            try:
                states[number] = {"score": self._together({number: jobs[number]})[number]}
            except BrokenProcessPool:
                self.mark_killed(number)
        rest = self._run(left) if (left := {n: jobs[n] for n, status in states.items() if not status}) else {}
        return {number: rest.get(number, states[number].get("score")) for number in jobs}

    def _together(self, jobs: dict[int, Sequence[str]]) -> dict[int, float | None]:
        from joblib import Parallel, delayed

        common = self.prepared()
        threads = None if "OMP_NUM_THREADS" in os.environ or len(jobs) > 1 else self._threads()
        parallel = Parallel(n_jobs=self.n_jobs, backend="loky", inner_max_num_threads=threads, **self.options)
        results = parallel([delayed(execute)(number, overrides, *common) for number, overrides in jobs.items()])
        return dict(zip(jobs, results, strict=True))

    def _threads(self) -> int:
        from joblib import cpu_count, effective_n_jobs

        return max(1, cpu_count() // effective_n_jobs(self.n_jobs))


class RayLauncher(_Elsewhere):
    """Jobs as tasks of a Ray cluster: of this machine, or of the one that `init.address` names.

    Args:
        init: arguments of `ray.init`.
        remote: arguments of `ray.remote`: what a job takes of the cluster.
    """

    def __init__(self, init: Any = None, remote: Any = None) -> None:
        _installed("ray", "ray")
        self.init, self.remote = dict(init or {}), dict(remote or {})

    def launch(self, job_overrides: Overrides, initial_job_idx: int) -> list[JobReturn]:
        """Run jobs; their numbers count from `initial_job_idx`."""
        from lit3d.callbacks.mlflow_run import kept_environment

        common = self.prepared()
        with kept_environment("RAY_", "PYTHONBREAKPOINT"):
            os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # it would report each start
            import ray

            ray.init(**_plain(self.init))
            try:
                remote = ray.remote(**({"max_retries": 0} | _plain(self.remote)))(execute)
                jobs = {n: remote.remote(n, list(o), *common) for n, o in enumerate(job_overrides, initial_job_idx)}
                return [returned(value) for value in self._collected(ray, jobs)]
            finally:
                ray.shutdown()

    def _collected(self, ray: Any, jobs: dict[int, Any]) -> Iterator[float | None]:
        for number, reference in jobs.items():
            try:
                yield ray.get(reference)
            except (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError):
                self.mark_killed(number)
                yield None


def _plain(node: Any) -> Any:
    return OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node


def _installed(package: str, extra: str) -> None:
    from importlib.util import find_spec

    if find_spec(package) is None:
        raise UserError(f"this needs {package}: pip install 'lit3d[{extra}]'")
