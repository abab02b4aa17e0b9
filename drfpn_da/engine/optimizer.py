"""The optimiser that a config asks for."""

from __future__ import annotations

import torch
from detectron2.config import CfgNode
from detectron2.solver import build_optimizer as build_sgd
from detectron2.solver.build import get_default_optimizer_params, maybe_add_gradient_clipping
from torch import nn


def build_optimizer(cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
    """Return detectron2's SGD, or Adam with the same parameter groups and gradient clipping.

    Raises:
        ValueError: SOLVER.OPTIMIZER is neither.
    """
    name = cfg.SOLVER.OPTIMIZER
    if name == "SGD":
        return build_sgd(cfg, model)
    if name != "Adam":
        raise ValueError(f"SOLVER.OPTIMIZER is '{name}'; write 'SGD' or 'Adam'")
    groups = get_default_optimizer_params(
        model,
        base_lr=cfg.SOLVER.BASE_LR,
        weight_decay_norm=cfg.SOLVER.WEIGHT_DECAY_NORM,
        bias_lr_factor=cfg.SOLVER.BIAS_LR_FACTOR,
        weight_decay_bias=cfg.SOLVER.WEIGHT_DECAY_BIAS,
    )
    kind = maybe_add_gradient_clipping(cfg, torch.optim.Adam)
    return kind(groups, lr=cfg.SOLVER.BASE_LR, weight_decay=cfg.SOLVER.WEIGHT_DECAY)
