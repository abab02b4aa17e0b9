"""The shipped configs by name, from a checkout as well as after ``pip install``.

>>> from drfpn_da import model_zoo
>>> model_zoo.list_configs()
>>> cfg = model_zoo.get_config("drfpn/bccd/faster_rcnn_mobilenetv2_drfpn.yaml")
"""

from __future__ import annotations

from typing import Any

import torch
from detectron2.config import CfgNode, instantiate
from detectron2.modeling import build_model
from torch import nn

from .checkpoint import SafeCheckpointer
from .config.safe_yaml import load_lazy_config
from .config.setup import base_cfg, merge_file
from .shipped_configs import get_config_file, list_configs

__all__ = ["get", "get_config", "get_config_file", "list_configs"]


def get_config(name: str, trained: bool = False) -> Any:
    """Return a shipped config: a ``CfgNode`` for YAML, a ``DictConfig`` for Lazy.

    Args:
        name: see :func:`get_config_file`.
        trained: ask for trained weights; see Raises.

    Raises:
        ValueError: no such config, or ``trained`` is asked for: no weights are published.
    """
    file = get_config_file(name)
    if trained:
        raise ValueError(
            f"no trained weights are published for {name}: train it and set MODEL.WEIGHTS "
            "(Lazy: train.init_checkpoint) to the model_final.pth in its output folder"
        )
    if file.endswith(".py"):
        return load_lazy_config(file)
    cfg = base_cfg()
    merge_file(cfg, file)
    return cfg


def get(name: str, trained: bool = False, device: str | None = None) -> nn.Module:
    """Build the model of a shipped config and load the initial weights that the config names.

    Args:
        name: see :func:`get_config_file`.
        trained: see :func:`get_config`.
        device: overrides the config's device; by default the CPU is used where there is no GPU.

    Returns:
        The model in training mode.
    """
    cfg = get_config(name, trained)
    if device is None and not torch.cuda.is_available():
        device = "cpu"
    if isinstance(cfg, CfgNode):
        if device is not None:
            cfg.MODEL.DEVICE = device
        model, weights = build_model(cfg), cfg.MODEL.WEIGHTS
    else:
        model = instantiate(cfg.model)
        if device is not None:
            model = model.to(device)
        weights = (
            cfg.train.init_checkpoint if "train" in cfg and "init_checkpoint" in cfg.train else ""
        )
    SafeCheckpointer(model).load(weights)
    return model
