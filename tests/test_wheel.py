"""The wheel, built, installed elsewhere and run from another folder, with its configs inside."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    out = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "build", "--wheel", "--outdir", out, ROOT], check=True, capture_output=True)
    return next(out.glob("*.whl"))


@pytest.mark.slow
def test_the_wheel_holds_every_config_and_the_type_marker(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    configs = {f"lit3d/{p.relative_to(ROOT).as_posix()}" for p in (ROOT / "conf").rglob("*.yaml")}
    assert len(configs) > 15
    assert configs <= names
    assert "lit3d/py.typed" in names
    page = {p.relative_to(ROOT).as_posix() for p in (ROOT / "lit3d" / "reporting" / "page").iterdir()}
    assert "lit3d/reporting/page/gallery.js" in page <= names
    assert not [n for n in names if n.startswith(("tests", "experiments"))]


@pytest.mark.slow
def test_the_wheel_runs_from_another_folder(wheel, tmp_path):
    """Dependencies come from this environment; lit3d itself only from the wheel."""
    site = tmp_path / "site"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", site, wheel], check=True
    )  # fmt: skip
    work = tmp_path / "elsewhere"
    work.mkdir()
    # -P keeps the checkout's folder out of sys.path; the wheel's folder comes before the editable install
    command = [sys.executable, "-P", "-m", "lit3d.run", "-m", "debug=tiny", "seed=0,1"]
    environment = {"PYTHONPATH": str(site), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    done = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    where = subprocess.run(
        [sys.executable, "-P", "-c", "import lit3d; print(lit3d.__file__)"],
        cwd=work, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert where.stdout.startswith(str(site))
    assert len(list(work.glob("multirun/*/*/results.json"))) == 2
