"""What a sweep is without training: its folder, its jobs, its end. The tasks are a few lines each."""

import json
import sys

import pytest

from lit3d.errors import UserError
from lit3d.sweeps import command
from lit3d.sweeps.jobs import job_folder


def sweeps(tmp_path):
    return sorted(path.parent for path in tmp_path.glob("multirun/*/sweep.json"))


def state(folder):
    return json.loads((folder / "sweep.json").read_text())["state"]


def test_a_failing_job_is_one_row_and_the_others_run(start, tmp_path, capsys):
    seen = []

    def task(cfg):
        seen.append(cfg.seed)
        if cfg.seed == 1:
            raise ZeroDivisionError("by one")
        return 0.25 * cfg.seed

    assert start(task, "-m", "seed=0,1,2") == 1
    assert seen == [0, 1, 2]
    (folder,) = sweeps(tmp_path)
    states = [json.loads((p / "status.json").read_text())["status"] for p in sorted(folder.glob("?_*"))]
    assert states == ["finished", "failed", "finished"]
    out = capsys.readouterr().out
    assert "Sweep: 2 of 3 jobs finished" in out
    assert "job 1 failed: ZeroDivisionError: by one" in out
    assert f"sweep.resume={folder.relative_to(tmp_path)}" in out
    assert state(folder) == "failed"
    assert "ZeroDivisionError" in next(folder.glob("1_*/*.log")).read_text()


def test_a_batch_size_of_the_sweeper_does_not_end_a_sweep_at_the_first_failure(start):
    seen = []

    def task(cfg):
        seen.append(cfg.seed)
        raise UserError("no")

    assert start(task, "-m", "seed=0,1", "+hydra.sweeper.max_batch_size=1") == 1
    assert seen == [0, 1]


def test_frames_of_failed_jobs_are_not_kept(start):
    import gc
    import weakref

    class Model:
        pass

    models, alive = [], []

    def task(cfg):
        gc.collect()
        alive.append(sum(m() is not None for m in models))
        model = Model()
        models.append(weakref.ref(model))
        raise RuntimeError("out of memory")

    start(task, "-m", "seed=0,1")
    assert alive == [0, 0]


def test_what_jobs_return_is_not_kept_unless_it_is_a_number(start):
    import gc
    import weakref

    class Trainer:
        pass

    trainers, alive = [], []

    def task(cfg):
        gc.collect()
        alive.append(sum(t() is not None for t in trainers))
        trainer = Trainer()
        trainers.append(weakref.ref(trainer))
        return {"trainer": trainer}

    assert start(task, "-m", "seed=0,1,2") == 0
    assert alive == [0, 0, 0]


def test_jobs_work_where_the_command_was_given(start, tmp_path):
    """Hydra before 1.2 changed into the folder of a job, where paths of datasets and files mean something else."""
    from pathlib import Path

    places = []
    assert start(lambda cfg: places.append((Path.cwd(), cfg.paths.data)), "-m", "seed=0,1") == 0
    assert {place for place, _ in places} == {tmp_path}
    assert len({data for _, data in places}) == 1


def test_an_error_that_cannot_be_pickled_is_reported_like_any_other(start, capsys):
    class Odd(Exception):
        def __init__(self, one, two):
            super().__init__("odd")
            self.lock = __import__("threading").Lock()

    def task(cfg):
        raise Odd(1, 2)

    assert start(task, "-m", "seed=0") == 1
    assert "job 0 failed: Odd: odd" in capsys.readouterr().out


def test_the_same_command_goes_on_until_all_is_finished_and_then_begins_anew(start, tmp_path):
    broken = {1}

    def task(cfg):
        if cfg.seed in broken:
            raise KeyboardInterrupt if cfg.seed == 1 else RuntimeError
        return None

    assert start(task, "-m", "seed=0,1,2") == 130
    (first,) = sweeps(tmp_path)
    assert state(first) == "interrupted"
    assert not list(first.glob("2_*"))
    broken.clear()
    assert start(task, "-m", "seed=0,1") == 0  # another command, another sweep
    assert len(sweeps(tmp_path)) == 2
    assert start(task, "-m", "seed=0,1,2", "hydra/launcher=basic") == 0  # elsewhere, but the same jobs
    assert len(sweeps(tmp_path)) == 2
    assert state(first) == "finished"
    assert len(list(first.glob("?_*"))) == 3
    assert start(task, "-m", "seed=0,1,2") == 0
    assert len(sweeps(tmp_path)) == 3


def test_a_killed_sweep_is_continued_by_its_folder_alone_and_fresh_begins_anew(start, tmp_path):
    seen = []

    def task(cfg):
        seen.append((cfg.seed, cfg.model.points))

    start(task, "-m", "seed=3,4", "model.points=7")
    (folder,) = sweeps(tmp_path)
    record = json.loads((folder / "sweep.json").read_text())
    (folder / "sweep.json").write_text(json.dumps(record | {"state": None}))  # as kill -9 leaves it
    assert start(task, f"sweep.resume={folder}") == 0
    assert seen == [(3, 7), (4, 7)] * 2
    (folder / "sweep.json").write_text(json.dumps(record | {"state": None}))
    assert start(task, "-m", "seed=3,4", "model.points=7", "sweep.fresh=true") == 0
    assert len(sweeps(tmp_path)) == 2


def test_what_cannot_be_continued_is_said_in_a_sentence(start, tmp_path, capsys):
    start(lambda cfg: None, "-m", "seed=3,4")
    (folder,) = sweeps(tmp_path)
    assert start(lambda cfg: None, "sweep.resume=absent") == 2
    assert "there is no sweep (sweep.json) in that folder" in capsys.readouterr().err
    assert start(lambda cfg: None, f"sweep.resume={folder}", "seed=5") == 2
    assert "that sweep is 'seed=3,4', but 'seed=5'" in capsys.readouterr().err
    assert start(lambda cfg: None, f"sweep.resume={folder}", name="evaluate") == 2
    assert "python -m lit3d.run" in capsys.readouterr().err


def test_a_mistake_in_the_command_leaves_no_folder(start, tmp_path, capsys):
    assert start(lambda cfg: None, "-m", "model=pointset,nosuch") == 2
    assert "there is no such model" in capsys.readouterr().err
    assert not sweeps(tmp_path)


def test_a_sweep_that_runs_is_not_started_twice(start, capsys):
    from pathlib import Path

    def task(cfg):
        import subprocess

        home = job_folder().parent
        code = f"from pathlib import Path; from lit3d.locks import alone\nwith alone(Path({str(home)!r}), 'held'): pass"
        tried = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                               cwd=Path(__file__).parents[2])  # fmt: skip
        assert "RefusedError: held" in tried.stderr

    assert start(task, "-m", "seed=0") == 0, capsys.readouterr()


def test_sweeps_that_start_in_the_same_second_do_not_share_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folders = {command.prepare("run", ["-m", "seed=0,1"])[1].folder for _ in range(20)}
    assert len(folders) == 20


def test_a_named_folder_is_continued_whatever_its_state(start, tmp_path):
    assert start(lambda cfg: None, "-m", "seed=0,1", "hydra.sweep.dir=here") == 0
    assert state(tmp_path / "here") == "finished"
    _, sweep = command.prepare("run", ["-m", "seed=0,1", "hydra.sweep.dir=here"])
    assert sweep.continued
    _, other = command.prepare("run", ["-m", "seed=0,1,2", "hydra.sweep.dir=here"])
    assert not other.continued


def test_single_runs_and_questions_are_no_sweeps():
    for argv in (["seed=1"], ["-m", "--cfg", "job"], ["--info", "plugins"]):
        assert command.prepare("run", argv) == (argv, None)


def test_a_single_run_still_raises(start):
    def task(cfg):
        raise UserError("one sentence")

    assert start(task, "seed=0", "hydra.run.dir=x") == 2


@pytest.mark.parametrize("overrides", [
    ["+hydra.callbacks.x._target_=torch.hub.load"], ["-m", "seed=1,2", "hydra.launcher._target_=os.system"],
    ["+hydra.callbacks.x._target_=${evil}", "+evil=torch.load"],
    ["+hydra.callbacks.x.inner=[{_target_:builtins.eval}]", "+hydra.callbacks.x._target_=lit3d.x"],
    ["-m", "seed=1,2", "hydra/job_logging=evil"], ["+hydra.hydra_logging.handlers.x={class:torch.load}"],
    ["+hydra.job_logging.filters.x.y=ext://os.environ"],
])  # fmt: skip
def test_code_that_hydra_itself_would_start_is_refused(start, tmp_path, capsys, overrides):
    ran, folder = [], tmp_path / "extra" / "hydra" / "job_logging"
    folder.mkdir(parents=True)  # a key that the command line cannot spell
    (folder / "evil.yaml").write_text("root: {handlers: [x]}\nhandlers: {x: {'()': os.system, command: 'true'}}\n")
    assert start(lambda cfg: ran.append(1), *overrides, "--config-dir", str(tmp_path / "extra")) == 2
    assert "which Hydra may not start here" in capsys.readouterr().err
    assert not ran
    assert not sweeps(tmp_path)
