"""Jobs in other processes: each launcher runs them all, says which failed, and shares the cores out."""

import json
from importlib.util import find_spec

import pytest
import tasks


def facts(tmp_path):
    return [json.loads(path.read_text()) for path in sorted(tmp_path.glob("multirun/*/*/facts.json"))]


@pytest.mark.slow
def test_joblib_shares_the_cores_out(start, tmp_path, monkeypatch):
    import joblib

    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert start(tasks.facts, "-m", "seed=0,1,2,3", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2") == 0
    found = facts(tmp_path)
    assert len(found) == 4
    assert len({f["pid"] for f in found}) == 2
    assert {f["threads"] for f in found} == {str(max(1, joblib.cpu_count() // 2))}


@pytest.mark.slow
def test_a_killed_process_costs_its_own_job_and_no_other(start, tmp_path, capsys):
    assert start(tasks.killed, "-m", "seed=0,1,2,3,4,5", "hydra/launcher=joblib") == 1
    out = capsys.readouterr().out
    assert "Sweep: 5 of 6 jobs finished" in out
    assert "job 1 failed: its process was killed, most likely because the memory was used up" in out
    (log,) = tmp_path.glob("multirun/*/log")
    runs = log.read_text().split()
    assert runs.count("1") == 2  # once beside others, once alone
    assert set(runs) == set("012345")


@pytest.mark.slow
def test_a_job_of_joblib_may_start_processes_of_its_own(start, tmp_path):
    assert start(tasks.nested, "-m", "seed=0,1", "hydra/launcher=joblib") == 0
    assert facts(tmp_path) == [{"made": [2, 4, 6], "loaded": [7, 8]}] * 2


@pytest.mark.slow
def test_submitit_runs_its_jobs_in_processes_of_their_own(start, tmp_path):
    assert start(tasks.facts, "-m", "seed=0,1", "hydra/launcher=slurm_local") == 0
    assert len({f["pid"] for f in facts(tmp_path)}) == 2


if find_spec("ray"):  # an extra of 250 MB: docs/sweeps.md says how to run this

    @pytest.mark.slow
    def test_ray_runs_its_jobs_on_a_cluster_of_two_workers(start, tmp_path, capsys):
        assert start(tasks.killed, "-m", "seed=0,1,2", "hydra/launcher=ray", "+hydra.launcher.init.num_cpus=2") == 1
        import ray  # not before: importing it changes the environment

        assert not ray.is_initialized()
        out = capsys.readouterr().out
        assert "Sweep: 2 of 3 jobs finished" in out
        assert "job 1 failed: its process was killed" in out


def test_a_launcher_that_is_not_installed_says_what_to_install(start, capsys, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    from lit3d.errors import UserError
    from lit3d.sweeps.launchers import RayLauncher

    with pytest.raises(UserError, match=r"pip install 'lit3d\[ray\]'"):
        RayLauncher()


# --- searches ------------------------------------------------------------------------------------------------------

SEARCH = ("-m", "hydra/sweeper=optuna", "seed=range(1,60)", "hydra.sweeper.trials=6", "hydra.sweeper.random_trials=3",
          "hydra.sweeper.space=null")  # fmt: skip


def record(tmp_path):
    (path,) = tmp_path.glob("multirun/*/optuna.json")
    return json.loads(path.read_text())


@pytest.mark.slow
def test_a_search_that_is_cut_short_goes_on_to_the_same_trials(start, tmp_path, capsys, monkeypatch):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    for folder in (whole, cut):
        folder.mkdir()
    monkeypatch.chdir(whole)
    start(tasks.valley, *SEARCH)
    out = capsys.readouterr().out
    monkeypatch.chdir(cut)
    monkeypatch.setenv("LIT3D_TEST_STOP", "3")
    assert start(tasks.valley, *SEARCH) == 130
    assert len(record(cut)["trials"]) == 3
    monkeypatch.delenv("LIT3D_TEST_STOP")
    start(tasks.valley, *SEARCH)
    assert record(cut) == record(whole)
    (log,) = cut.glob("multirun/*/log")
    assert len(log.read_text().split()) == 7  # the one that was cut short twice, no other
    found = record(whole)
    scored = {t["overrides"][0]: t["value"] for t in found["trials"] if t["value"] is not None}
    assert found["best"]["value"] == min(scored.values())
    assert f"Best of 6 trials: number {found['best']['trial']}" in out
    assert f"Train it   python -m lit3d.run {found['best']['overrides'][0]}" in out


def test_a_search_space_in_hydras_words():
    from hydra.core.override_parser.overrides_parser import OverridesParser

    from lit3d.sweeps.optuna import distribution

    def of(text):
        return distribution(OverridesParser.create().parse_override(f"a={text}"))

    assert of("choice(cd,emd)").choices == ("cd", "emd")
    assert (of("interval(1,2)").low, of("interval(1,2)").high, of("interval(1,2)").log) == (1.0, 2.0, False)
    assert of("tag(log,interval(1e-4,1e-2))").log
    assert (of("range(1,10,3)").low, of("range(1,10,3)").high, of("range(1,10,3)").step) == (1, 7, 3)


def test_the_ready_search_space_composes_with_the_model():
    from omegaconf import OmegaConf

    from lit3d.config import compose, config_dir

    cfg = compose("run")
    space = OmegaConf.load(config_dir() / "hydra" / "sweeper" / "optuna.yaml").space
    for key in space:
        assert "/" in key or OmegaConf.select(cfg, key) is not None, key
