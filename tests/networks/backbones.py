"""Tiny backbones of transformers on disk, as `save_pretrained` writes them: no network is needed."""

import torch


def write_resnet(folder):
    """A classifier, so that the backbone's weights bear a prefix and some are not needed."""
    from transformers import ResNetConfig, ResNetForImageClassification

    torch.manual_seed(0)
    config = ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 12, 16, 20], depths=[1, 1, 1, 1], layer_type="basic",
        out_indices=[1, 2, 3, 4],
    )  # fmt: skip
    model = ResNetForImageClassification(config)
    model.save_pretrained(folder)
    return model


def write_dinov2(folder, dtype=torch.float32):
    """Three layers on patches of 14 px."""
    from transformers import Dinov2Config, Dinov2Model

    torch.manual_seed(0)
    config = Dinov2Config(
        hidden_size=16, num_hidden_layers=3, num_attention_heads=2, image_size=28, patch_size=14, mlp_ratio=2
    )
    model = Dinov2Model(config).to(dtype)
    model.save_pretrained(folder)
    return model
