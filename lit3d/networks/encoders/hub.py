"""Any backbone of the package `transformers` as an encoder: DINOv2, ConvNeXt, Swin, ResNet ..."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lit3d.errors import UserError
from lit3d.networks.encoders.features import IMAGENET_MEAN, IMAGENET_STD, Features, as_channels_last, standardised

ADDED = "hidden_states_norms"  # norms that a backbone puts behind its stages: in no checkpoint of the whole model
LABELS = ("id2label", "label2id")  # a thousand names of ImageNet's classes


class HubEncoder(nn.Module):
    """A `transformers` backbone; its code is the mean of the last map.

    Weights are read from safetensors only, and code of a model's repository is never run.

    Args:
        source: folder that `save_pretrained` wrote, or a name on the hub (`facebook/dinov2-small`).
        stages: indices of the backbone's stages whose outputs become maps, or None for the backbone's own choice,
            which is the last one alone as a rule.
        input_size: images are resized to this side first; None leaves them. Patches of 14 px on 64 px images would
            be 4 x 4 alone.
        frozen: whether the backbone keeps its weights and only what follows is trained.
        mean: of each colour channel, subtracted.
        std: of each colour channel, divided by.
        architecture: the backbone's config as plain values. With it the backbone is built with random weights and
            `source` is not opened: so a checkpoint, which holds the trained weights, is loaded again.

    Raises:
        UserError: `transformers` is not installed, or the source is not a backbone that it can read.
    """

    def __init__(
        self,
        source: str,
        stages: Sequence[int] | None = None,
        input_size: int | None = None,
        frozen: bool = False,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        architecture: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.backbone = read_backbone(source, stages) if architecture is None else empty_backbone(architecture)
        self.input_size, self.frozen, self.mean, self.std = input_size, frozen, tuple(mean), tuple(std)
        self.map_channels = tuple(self.backbone.channels)
        self.code_size = self.map_channels[-1]
        for name, parameter in self.backbone.named_parameters():  # masks are for pretraining: they get no gradient
            parameter.requires_grad_(not frozen and not name.endswith("mask_token"))
        as_channels_last(self)

    @property
    def rebuild(self) -> dict[str, Any]:
        """Arguments that build this encoder for a checkpoint's weights, without its source."""
        values = json.loads(self.backbone.config.to_json_string(use_diff=False))
        return {"architecture": {k: v for k, v in values.items() if k not in LABELS}}

    def train(self, mode: bool = True) -> "HubEncoder":
        """A frozen backbone stays in evaluation mode: its batch statistics and dropout are not trained either."""
        super().train(mode)
        self.backbone.train(mode and not self.frozen)
        return self

    def forward(self, image: Float[Tensor, "b 3 h w"]) -> Features:
        """Image in [0, 1] -> features."""
        if self.input_size is not None:
            size = (self.input_size, self.input_size)
            image = nn.functional.interpolate(image, size, mode="bilinear", antialias=True)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            maps = list(self.backbone(standardised(image, self.mean, self.std)).feature_maps)
        return Features(maps[-1].mean((2, 3)), maps)


def read_backbone(source: str, stages: Sequence[int] | None = None) -> Any:
    """The backbone of a folder or of the hub with its weights, in float32.

    Raises:
        UserError: see `HubEncoder`; or weights that the backbone needs are not there.
    """
    library = transformers()
    options: dict[str, Any] = {} if stages is None else {"out_indices": list(stages)}
    try:
        with quiet(library):
            config = library.AutoConfig.from_pretrained(source, trust_remote_code=False, **options)
            # not AutoBackbone.from_pretrained, which asks the hub even for a local folder
            backbone, report = library.MODEL_FOR_BACKBONE_MAPPING[type(config)].from_pretrained(
                source, config=config, use_safetensors=True, dtype=torch.float32, output_loading_info=True
            )
    except (OSError, ValueError, KeyError, ImportError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise UserError(
            f"model.encoder.source={source} cannot be read as a backbone of transformers ({reason}): give a folder "
            "with config.json and model.safetensors, or the name of a model on the hub that is a backbone"
        ) from None
    absent = sorted(key for key in report["missing_keys"] if not key.startswith(ADDED))
    if absent:
        raise UserError(
            f"model.encoder.source={source} lacks {len(absent)} weights of its backbone, {absent[0]} first: they would "
            "stay random; give the folder of a whole model"
        )
    return backbone


def empty_backbone(architecture: Mapping[str, Any]) -> Any:
    """A backbone with random weights.

    Args:
        architecture: its config as plain values.

    Raises:
        UserError: `transformers` is not installed, or this version of it does not know the architecture.
    """
    library = transformers()
    try:
        return library.AutoBackbone.from_config(library.AutoConfig.for_model(**architecture))
    except (ValueError, KeyError, TypeError, ImportError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"this version of transformers cannot build the stored backbone '{architecture.get('model_type')}' "
            f"({reason}): install {architecture.get('transformers_version', 'the version it was made with')}"
        ) from None


def transformers() -> Any:
    """The library, imported on first use: it takes seconds.

    Raises:
        UserError: it is not installed.
    """
    try:
        import transformers as library
    except ImportError:
        raise UserError("model/encoder=hub needs the package transformers: pip install 'lit3d[hub]'") from None
    return library


@contextmanager
def quiet(library: Any) -> Iterator[None]:
    """Without bars and tables of keys, which are checked by `read_backbone`."""
    log = library.utils.logging
    level, bars = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity_error()
    log.disable_progress_bar()
    try:
        yield
    finally:
        log.set_verbosity(level)
        if bars:
            log.enable_progress_bar()
