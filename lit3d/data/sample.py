"""The sample: what every dataset gives. A key is absent where a dataset cannot give it."""

from typing import TypedDict

from torch import Tensor


class Sample(TypedDict, total=False):
    """One image of one object; batches hold the same keys with a leading b, and lists for the strings."""

    image: Tensor  # 3 h w float32 in [0, 1], composited on the background
    mask: Tensor  # 1 h w bool, object pixels; of a sensor's depth: where it counts
    depth: Tensor  # 1 h w float32, camera z in units of the longest side, of a sensor's in metres; 0 off the mask
    normal: Tensor  # 3 h w float32, unit, camera axes
    intrinsics: Tensor  # 3 3 float32, pixels of `image`, centres at +0.5
    pose: Tensor  # 4 4 float32, target frame -> camera
    object_to_target: Tensor  # 4 4 float32, object frame -> target frame
    points: Tensor  # m 3 float32, area-uniform on the outside-visible surface, target frame
    point_normals: Tensor  # m 3 float32
    spare_points: Tensor  # k 3 float32, further true points in validation and test: for the row *truth resampled*
    point_parts: Tensor  # m int64, part of the grammar
    queries: Tensor  # q 3 float32, places in and around the object's cube, target frame
    occupancy: Tensor  # q float32, 1 inside, 0 outside; NaN in a test where nobody knows what is inside of the object
    posterior: Tensor  # k float32, probabilities of what the image leaves open; 0 for values that this object lacks
    posterior_points: Tensor  # k m 3 float32, true points with each value, target frame
    hidden: Tensor  # int64, index of this object's own value
    object: str
    category: str
    view: int


IMAGE_KEYS = ("mask", "depth", "normal")
POINT_KEYS = ("points", "point_normals", "point_parts")
QUERY_KEYS = ("queries", "occupancy")  # of datasets that know what is inside
POSTERIOR_KEYS = ("posterior", "posterior_points", "hidden")  # of datasets that know what their images hide
ALWAYS = ("image", "intrinsics", "pose", "object_to_target", "object", "category", "view")
KEYS = (*ALWAYS, *IMAGE_KEYS, *POINT_KEYS, *QUERY_KEYS, *POSTERIOR_KEYS)
