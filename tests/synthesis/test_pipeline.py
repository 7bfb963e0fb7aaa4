"""The synthesis pipeline on small made-up meshes: same bytes however it is run, and no mesh stops it."""

import hashlib
import io
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import minimum_filter

from lit3d.data.reader import DatasetReader
from lit3d.errors import UserError
from lit3d.synthesis import pipeline, workers
from lit3d.synthesis.cameras import Camera, ViewRange, project
from lit3d.synthesis.pipeline import SynthesisSettings, object_generator, render_object, synthesize
from lit3d.synthesis.progress import console
from lit3d.synthesis.shape import UnusableMeshError
from lit3d.synthesis.store.files import StorageError

sys.path.insert(0, str(Path(__file__).parent))  # worker processes import what they are sent by this name

from boxes import SMALL, BoxSource, box, double


def digest(root: Path) -> dict[str, str]:
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(root.rglob("*")) if path.is_file()}


def test_bytes_depend_neither_on_workers_nor_on_order(tmp_path):
    report = synthesize(BoxSource(), tmp_path / "one", SMALL)
    synthesize(BoxSource(backwards=True), tmp_path / "two", replace(SMALL, workers=2))
    assert digest(tmp_path / "one") == digest(tmp_path / "two")
    assert (report.objects, report.views, report.failures) == (6, 12, 5)
    assert report.path == tmp_path / "one"
    assert (tmp_path / "one/failures.csv").read_text().splitlines() == [
        "object,reason", "box-1-empty,has no faces", "box-2-nan,has vertices that are not finite",
        "box-3-unreadable,cannot be read", "box-4-dot,has no extent: all vertices lie in one point", "rug,flat"]


def test_a_finished_dataset_is_not_made_again(tmp_path, monkeypatch):
    first = synthesize(BoxSource(), tmp_path / "d", SMALL)
    monkeypatch.setattr(BoxSource, "load", lambda *_: 1 / 0)
    again = synthesize(BoxSource(), tmp_path / "d", replace(SMALL, workers=7))
    assert replace(again, seconds=0) == replace(first, seconds=0)
    with pytest.raises(UserError, match=r"settings.view_range.elevation: \[25.0, 30.0\] there, \[0.0, 1.0\] asked for"):
        synthesize(BoxSource(), tmp_path / "d", replace(SMALL, view_range=ViewRange(elevation=(0.0, 1.0))))


def test_a_crashing_process_costs_one_object(tmp_path):
    synthesize(BoxSource(deadly="box-2"), tmp_path / "d", replace(SMALL, workers=2))
    lines = (tmp_path / "d/failures.csv").read_text().splitlines()
    assert "box-2,\"its process was killed, most likely because the memory was used up\"" in lines
    assert len(DatasetReader(tmp_path / "d")) == 5


def test_folders_and_shards_give_the_same_samples(tmp_path):
    for layout in ("shards", "folders"):
        synthesize(BoxSource(3), tmp_path / layout, replace(SMALL, layout=layout))
    shards, folders = DatasetReader(tmp_path / "shards"), DatasetReader(tmp_path / "folders")
    assert shards.index() == folders.index()
    for name, view in shards.index():
        for read in (DatasetReader.image, DatasetReader.geometry, DatasetReader.camera):
            np.testing.assert_equal(read(shards, name, view), read(folders, name, view))
        np.testing.assert_equal(shards.points(name), folders.points(name))


def test_points_project_onto_the_mask_and_depth_is_that_of_the_surface():
    settings = replace(SMALL, image_size=256, points=2000)
    record = render_object(box(), settings, object_generator(0, "a"))
    assert record.extents == pytest.approx([0.5, 1, 0.25])
    assert np.abs(record.points).max(axis=0) == pytest.approx([0.25, 0.5, 0.125], abs=1e-6)
    for view in record.views:
        pixels, depth = project(record.points, Camera(view.intrinsics, view.object_to_camera, (256, 256)))
        columns, rows = pixels.astype(int).T
        assert view.mask[rows, columns].mean() > 0.97  # along the outline a pixel's centre may miss
        # No point lies before the surface. Within a pixel depth moves by its slope, so the pixels around count too.
        nearest = minimum_filter(np.where(view.mask, view.depth, np.inf), 3)[rows, columns]
        hit = view.mask[rows, columns]
        assert (nearest[hit] <= depth[hit] + 0.002).all()
        np.testing.assert_array_equal(view.mask, view.depth > 0)


def test_the_first_points_are_a_uniform_subset():
    record = render_object(box((1, 1, 1)), replace(SMALL, points=6000), object_generator(0, "a"))
    for part in (slice(0, 600), slice(-600, None)):  # of a cube: each side a sixth
        side = np.abs(record.points[part]).argmax(axis=1) * 2 + (record.points[part].max(axis=1) > 0.4999)
        assert np.bincount(side, minlength=6) == pytest.approx([100] * 6, abs=45)
    assert np.bincount(record.parts) == pytest.approx([3000, 3000], abs=200)


def test_randomness_by_purpose():
    """More views or points leave the others as they were; another object or seed changes everything."""
    few = render_object(box(), SMALL, object_generator(0, "a"))
    more = render_object(box(), replace(SMALL, views=5), object_generator(0, "a"))
    np.testing.assert_array_equal(few.points, more.points)
    for one, other in zip(few.views, more.views, strict=False):
        np.testing.assert_array_equal(one.image, other.image)
    for seed, name in ((1, "a"), (0, "b")):
        assert not np.array_equal(few.points, render_object(box(), SMALL, object_generator(seed, name)).points)


def test_colours_vary_only_if_asked_to_and_never_the_geometry():
    plain = render_object(box(), SMALL, object_generator(0, "a"))
    tinted = render_object(box(), replace(SMALL, colour_jitter=1.0), object_generator(0, "a"))
    assert not np.array_equal(plain.views[0].image, tinted.views[0].image)
    np.testing.assert_array_equal(plain.views[0].depth, tinted.views[0].depth)


def test_kept_meshes_render_as_the_source_does(tmp_path):
    synthesize(BoxSource(2), tmp_path / "d", replace(SMALL, keep_meshes=True))
    reader = DatasetReader(tmp_path / "d")
    mesh = reader.mesh("box-1")
    again = render_object(mesh, SMALL, object_generator(0, "box-1"))
    np.testing.assert_array_equal(again.views[1].mask, reader.geometry("box-1", 1)[2])
    assert mesh.part_names == ("sides", "ends")
    assert mesh.attributes == {"height": 2.0}
    assert np.abs(mesh.vertices).max() == pytest.approx(0.5)


@pytest.mark.parametrize(("wrong", "text"), [
    ({"views": 0}, "views must lie between 1 and 999, got 0"),
    ({"image_size": 4}, "image_size must lie between 8 and 4,096, got 4"),
    ({"points": 0}, "points must lie between"),
    ({"light_jitter": 2.0}, "light_jitter must lie between 0 and 1"),
    ({"surface": "outside"}, "surface must be outer or all, got 'outside'"),
    ({"layout": "shard"}, "layout must be shards or folders, got 'shard'. Did you mean 'shards'?"),
])
def test_wrong_settings(wrong, text):
    with pytest.raises(UserError) as caught:
        SynthesisSettings(**wrong)
    assert text in str(caught.value)


def test_workers_report_errors_hangs_and_stops():
    found = {o.task: o.value if o.reason is None else o.reason
             for o in workers.outcomes(double, 2, [1, 2, 3, 4, 5, 6], 2, limit_s=4)}
    assert found == {1: 2, 2: 4, 3: "ValueError: three", 4: "it took longer than 4 s",
                     5: "needs more memory than there is", 6: 12}
    for count in (1, 2):
        with pytest.raises(StorageError, match="disk full"):
            list(workers.outcomes(double, 2, [1, 99, 2], count))
    with pytest.raises(UserError, match="cannot be sent to worker processes"):
        list(workers.outcomes(double, lambda: 0, [1, 2], 2))


def test_progress_in_plain_lines(tmp_path):
    stream = io.StringIO()
    with console(stream, every_s=0) as show:
        synthesize(BoxSource(3), tmp_path / "d", SMALL, show)
    lines = stream.getvalue().splitlines()
    assert lines[0].startswith("rendering 0/7 objects, 0 images/s, remaining time not known")
    assert lines[-1].startswith("rendering 7/7 objects, ")
    assert lines[-1].endswith("images/s, 4 failed, done")


def test_mesh_that_no_view_shows_is_listed(tmp_path, monkeypatch):
    monkeypatch.setattr(pipeline, "render_views", lambda *_: ())
    with pytest.raises(UnusableMeshError, match="covers no pixel"):
        render_object(box(), SMALL, object_generator(0, "a"))


CHILD = """
import sys
sys.path.insert(0, {folder!r})
from boxes import BoxSource, SMALL
from dataclasses import replace
from lit3d.synthesis.pipeline import synthesize
if __name__ == "__main__":
    settings = replace(SMALL, workers={workers}, image_size=64, points=5000, layout={layout!r})
    synthesize(BoxSource(40), {root!r}, settings, lambda now: print(now.done, flush=True))
"""


@pytest.mark.slow
@pytest.mark.parametrize(("count", "layout"), [(1, "shards"), (2, "shards"), (1, "folders")])
def test_kill_9_at_random_moments(tmp_path, count, layout):
    """Killed again and again it gets on, never shows a half dataset, and ends with the bytes of an undisturbed run."""
    synthesize(BoxSource(40), tmp_path / "whole", replace(SMALL, image_size=64, points=5000, layout=layout))
    root, script = tmp_path / "killed", tmp_path / "child.py"
    script.write_text(CHILD.format(folder=str(Path(__file__).parent), root=str(root), workers=count, layout=layout))
    chance, kills = random.Random(count), 0
    while True:
        with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True) as child:
            heard = [child.stdout.readline() for _ in range(chance.choice([1, 5, 9, 13, 17]))]
            if heard[-1]:  # still at it
                time.sleep(chance.uniform(0, 0.05))
                child.kill()
        if child.returncode == 0:
            break
        assert child.returncode == -signal.SIGKILL
        kills += 1
        if (root / "dataset.json").exists():
            assert not list(DatasetReader(root).verify())
        else:
            with pytest.raises(UserError, match="is not finished"):
                DatasetReader(root)
    assert kills > 1
    assert digest(root) == digest(tmp_path / "whole")
