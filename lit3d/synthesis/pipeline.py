"""The synthesis pipeline: mesh -> normalise -> cameras -> views -> surface samples -> dataset on disk.

`render_object` is the whole way of one object without any file; `synthesize` runs a source through it on all cores.
Every object draws from its own generator, so results depend neither on order nor on the number of workers.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from lit3d.errors import UserError, did_you_mean
from lit3d.synthesis.cameras import ViewRange, draw_cameras
from lit3d.synthesis.lights import draw_lights
from lit3d.synthesis.occupancy import occupancy
from lit3d.synthesis.posterior import POINTS, PosteriorRecord, alternatives, look_alike, tinted_alike
from lit3d.synthesis.render import RenderMesh, prepare, render
from lit3d.synthesis.shape import Shape, UnusableMeshError, bounds, normalised
from lit3d.synthesis.sources.items import Item, Source
from lit3d.synthesis.store import DatasetBuilder, ObjectRecord, Plan, ViewRecord, encode, write_object
from lit3d.synthesis.store.layout import stable_hash
from lit3d.synthesis.store.record import touches_border, viewpoint
from lit3d.synthesis.surface import all_surface, outer_surface
from lit3d.synthesis.workers import cores, outcomes

RENDERING = 2  # raised when the same settings give other pictures or points: old and new objects are never mixed
CAMERA_TRIES = 8
FEW = 64  # objects: below, starting processes takes longer than the work


@dataclass(frozen=True)
class SynthesisSettings:
    """What the pipeline makes of each mesh.

    Attributes:
        image_size: side of the square pictures in pixels.
        views: pictures of each object.
        points: surface samples of each object.
        samples: colour is averaged over samples x samples rays a pixel; mask, depth and normals are exact anyway.
        surface: "outer" (what can be seen from outside) or "all" (hidden inner faces too).
        view_range: where the cameras stand.
        light_jitter: how much lights vary from view to view, 0 to 1.
        colour_jitter: how much colours vary from object to object, 0 to 1.
        shadows: whether the key light casts shadows.
        layout: "shards" (few large zip files) or "folders" (the same tree as plain files).
        keep_meshes: store the normalised mesh too, so that fresh views can be rendered without the source.
        queries: uniform places of which the dataset says whether they are inside; 0 = no near ones either.
        near_queries: further such places, each near one of the surface samples; at most as many as `points`.
        near_sigma: their standard deviation from the surface, in units of the longest side.
        seed: of cameras, lights, colours and surface samples.
        workers: processes; 0 = one a core (and none for a handful of objects).

    Raises:
        UserError: a setting that cannot be.
    """

    image_size: int = 64
    views: int = 12
    points: int = 10_000
    samples: int = 2
    surface: str = "outer"
    view_range: ViewRange = field(default_factory=ViewRange)
    light_jitter: float = 0.3
    colour_jitter: float = 0.0
    shadows: bool = False
    layout: str = "shards"
    keep_meshes: bool = False
    queries: int = 100_000
    near_queries: int = 10_000
    near_sigma: float = 0.02
    seed: int = 0
    workers: int = 0

    def __post_init__(self) -> None:
        limits = {"image_size": (8, 4096), "views": (1, 999), "points": (1, 10_000_000), "samples": (1, 8),
                  "light_jitter": (0, 1), "colour_jitter": (0, 1), "workers": (0, 1024), "queries": (0, 10_000_000),
                  "near_queries": (0, 10_000_000), "near_sigma": (0, 1)}
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            if not isinstance(value, (int, float)):
                square = ": pictures are square" if name == "image_size" else ""
                raise UserError(f"{name} must be one number{square}, got {value!r}.")
            if not low <= value <= high:
                raise UserError(f"{name} must lie between {low} and {high:,}, got {value!r}.")
        for name, known in {"surface": ("outer", "all"), "layout": ("shards", "folders")}.items():
            value = getattr(self, name)
            if value not in known:
                raise UserError(f"{name} must be {' or '.join(known)}, got {value!r}.{did_you_mean(str(value), known)}")

    def recorded(self) -> dict[str, Any]:
        """What the bytes of a dataset depend on: everything but the number of workers."""
        settings = asdict(self) | {"rendering": RENDERING}
        return {key: value for key, value in settings.items() if key not in ("workers", "layout")}


@dataclass(frozen=True)
class Progress:
    """How far a run is; `views` are those made by this run, `done` counts earlier runs' objects too."""

    done: int
    total: int
    views: int
    failures: int


@dataclass(frozen=True)
class Report:
    """What a run came to.

    Attributes:
        failures: meshes that are not in the dataset; failures.csv says why.
        dropped_share: mean share of the surface that no outside view sees.
        border_share: share of views in which the object touches the border.
    """

    path: Path
    objects: int
    views: int
    failures: int
    seconds: float
    dropped_share: float
    border_share: float


@dataclass(frozen=True)
class Prepared:
    """A mesh in the object frame, ready to be rendered any number of times."""

    shape: Shape
    mesh: RenderMesh
    extents: np.ndarray


def prepared(shape: Shape) -> Prepared:
    """Normalise a shape into the object frame: by its own box where it names one, else by its bounding box.

    Raises:
        UnusableMeshError: no faces, vertices that are not finite, or no extent.
    """
    if not len(shape.faces):
        raise UnusableMeshError("has no faces")
    if not np.isfinite(shape.vertices).all():
        raise UnusableMeshError("has vertices that are not finite")
    lower, upper = shape.box or bounds(shape)
    if not (upper > lower).any():
        raise UnusableMeshError("has no extent: all vertices lie in one point")
    ours = replace(shape, vertices=normalised(shape.vertices, lower, upper))
    mesh, extents = prepare(ours.vertices, ours), (upper - lower) / (upper - lower).max()
    if shape.box is not None:  # the grid of shadows, too, must not tell what lies within the box
        mesh = replace(mesh, radius=float(np.linalg.norm(extents)) / 2)
    return Prepared(ours, mesh, extents)


def render_views(ready: Prepared, settings: SynthesisSettings, cameras: np.random.Generator,
                 lights: np.random.Generator, others: Sequence[RenderMesh] = ()) -> tuple[ViewRecord, ...]:
    """`settings.views` pictures from random cameras; view i does not depend on how many follow.

    A camera for which the object touches the border (one in a hundred with the default range) is drawn again, a few
    times: a cut-off object would have to be guessed.

    Raises:
        UnusableMeshError: one of `others` does not look the same in every byte of a view.
    """
    size = (settings.image_size, settings.image_size)
    views = []
    for own in cameras.spawn(settings.views):
        light = draw_lights(lights, settings.light_jitter)
        for _ in range(CAMERA_TRIES):
            (camera,) = draw_cameras(own, 1, size, ready.extents, settings.view_range)
            view = render(ready.mesh, camera, samples=settings.samples, lights=light, shadows=settings.shadows)
            if not touches_border(view.mask):
                break
        for other in others:
            if not look_alike(view, render(other, camera, samples=settings.samples, lights=light,
                                           shadows=settings.shadows)):
                azimuth, elevation, _ = viewpoint(camera.object_to_camera)
                raise UnusableMeshError(f"its picture from azimuth {azimuth:.1f}, elevation {elevation:.1f} degrees "
                                        "tells the hidden value: narrow data.synthesis.view_range")
        views.append(ViewRecord(view.rgba, view.depth, view.normal, view.mask,
                                camera.intrinsics, camera.object_to_camera))
    return tuple(views)


def render_object(shape: Shape, settings: SynthesisSettings, rng: np.random.Generator) -> ObjectRecord:
    """Everything that a dataset holds of one mesh. Purposes draw from generators of their own, spawned from `rng`.

    Raises:
        UnusableMeshError: there is nothing to render or to sample.
    """
    cameras, lights, colours, surface, values, places = rng.spawn(6)
    ready, *others = [prepared(one) for one in (shape, *alternatives(shape))]
    tints = tinted_alike(colours, [one.shape for one in (ready, *others)], settings.colour_jitter)
    mesh, *alike = [one.mesh.recoloured(tint) for one, tint in zip((ready, *others), tints, strict=True)]
    views = render_views(replace(ready, mesh=mesh), settings, cameras, lights, alike)
    if not any(view.mask.any() for view in views):
        raise UnusableMeshError("covers no pixel in any view: too thin for this image size")
    sampled = outer_surface if settings.surface == "outer" else all_surface
    sample = sampled(ready.mesh, settings.points, surface)
    inside = None
    if settings.queries:
        inside = occupancy(ready.shape, sample.points[: settings.near_queries], settings.queries, settings.near_sigma,
                           places)
    posterior = None
    if shape.posterior is not None:
        meshes = [prepared(one).mesh for one in shape.posterior.shapes]
        count = min(POINTS, settings.points)
        points = np.stack([sampled(one, count, values).points for one in meshes])
        posterior = PosteriorRecord(shape.posterior.attribute, shape.posterior.values, shape.posterior.probabilities,
                                    shape.posterior.hidden, points)
    return ObjectRecord(
        points=sample.points, normals=sample.normals, parts=shape.parts[sample.faces], part_names=shape.part_names,
        attributes=shape.attributes, extents=ready.extents, faces=len(shape.faces),
        dropped_share=sample.dropped_share, views=views, mesh=ready.shape if settings.keep_meshes else None,
        posterior=posterior, occupancy=inside)


def object_generator(seed: int, object_id: str) -> np.random.Generator:
    """The generator of one object, the same on every machine and in any order."""
    return np.random.default_rng(np.random.SeedSequence([seed, stable_hash(object_id)]))


def synthesize(source: Source, root: str | Path, settings: SynthesisSettings | None = None,
               progress: Callable[[Progress], None] | None = None, overwrite: bool = False) -> Report:
    """Run all objects of a source through the pipeline into a dataset; continues where a killed run stopped.

    Args:
        source: where meshes come from.
        root: folder of the dataset: new, empty, or holding the same dataset begun or complete.
        settings: what to make of each mesh.
        progress: called at the start and after each object; `lit3d.synthesis.progress.console()` gives one.
        overwrite: replace a dataset made otherwise; it is built beside and takes the old one's place when complete.

    Raises:
        UserError: no object could be used, the folder holds something else, the disk is full. A mesh that cannot be
            used raises nothing: it stands in failures.csv.
    """
    begun, settings = time.monotonic(), settings or SynthesisSettings()
    items = source.items()
    plan = Plan(source.name, source.fingerprint(), settings.recorded(), items, settings.layout)
    with DatasetBuilder(Path(root), plan, overwrite) as builder:
        failures = _make_pending(builder, source, settings, progress or (lambda _: None))
        info = builder.finish(failures, source.skipped(), source.attribution())
    counts, statistics = info["counts"], info["statistics"]
    return Report(builder.root, counts["objects"], counts["views"], counts["failures"], time.monotonic() - begun,
                  statistics["mean_dropped_share"], statistics["border_views"] / max(1, counts["views"]))


@dataclass(frozen=True)
class _Job:
    """What a worker process must know."""

    source: Source
    settings: SynthesisSettings
    partial: Path


def _make_pending(builder: DatasetBuilder, source: Source, settings: SynthesisSettings,
                  progress: Callable[[Progress], None]) -> dict[str, str]:
    pending = builder.pending()
    total, views, failures = len(builder.plan.items), 0, {}
    done = total - len(pending)
    progress(Progress(done, total, 0, 0))
    workers = settings.workers or (1 if len(pending) < FEW else cores())
    for outcome in outcomes(_make, _Job(source, settings, builder.partial), pending, workers):
        if outcome.reason is None:
            builder.commit(outcome.value, outcome.task.object)
            views += settings.views
        else:
            failures[outcome.task.object] = outcome.reason
        done += 1
        progress(Progress(done, total, views, len(failures)))
    return failures


def _make(job: _Job, item: Item) -> Path:
    """One object from mesh to a finished file aside; runs in a worker process."""
    shape = job.source.load(item)
    record = render_object(shape, job.settings, object_generator(job.settings.seed, item.views_of or item.object))
    return write_object(job.partial, item.object, encode(item, record))
