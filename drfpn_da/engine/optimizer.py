"""The optimiser that a config asks for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.solver import build_optimizer as build_sgd
from detectron2.solver.build import get_default_optimizer_params
from torch import nn

from .clipping import clip_gradients

Groups = list[dict[str, Any]]


def build_optimizer(cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
    """Return detectron2's SGD, or Adam, with detectron2's parameter groups.

    Clips gradients as ``SOLVER.CLIP_GRADIENTS`` says; see :func:`clip_gradients`.

    Raises:
        ValueError: SOLVER.OPTIMIZER is neither; an unknown way of clipping; or see
            :func:`scale_rates`.
    """
    clip = cfg.SOLVER.CLIP_GRADIENTS
    if not clip.ENABLED:
        return _build_unclipped(cfg, model)
    cfg = cfg.clone()
    cfg.defrost()
    cfg.SOLVER.CLIP_GRADIENTS.ENABLED = False
    optimizer = _build_unclipped(cfg, model)
    return clip_gradients(optimizer, clip.CLIP_TYPE, clip.CLIP_VALUE, clip.NORM_TYPE)


def _build_unclipped(cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
    solver = cfg.SOLVER
    if solver.OPTIMIZER not in ("SGD", "Adam"):
        raise ValueError(f"SOLVER.OPTIMIZER is '{solver.OPTIMIZER}'; write 'SGD' or 'Adam'")
    if solver.OPTIMIZER == "SGD" and not solver.LR_FACTORS:
        return build_sgd(cfg, model)
    groups = get_default_optimizer_params(
        model,
        base_lr=solver.BASE_LR,
        weight_decay_norm=solver.WEIGHT_DECAY_NORM,
        bias_lr_factor=solver.BIAS_LR_FACTOR,
        weight_decay_bias=solver.WEIGHT_DECAY_BIAS,
    )
    groups = scale_rates(groups, model, solver.LR_FACTORS)
    common = {"lr": solver.BASE_LR, "weight_decay": solver.WEIGHT_DECAY}
    if solver.OPTIMIZER == "Adam":
        return torch.optim.Adam(groups, **common)
    return torch.optim.SGD(groups, momentum=solver.MOMENTUM, nesterov=solver.NESTEROV, **common)


def scale_rates(groups: Groups, model: nn.Module, factors: Sequence[Sequence[Any]]) -> Groups:
    """Multiply the learning rates of parameters by the beginning of their names.

    Args:
        groups: parameter groups of an optimiser, each with "lr".
        model: names the parameters, as its checkpoints do.
        factors: each (beginning, factor); the first that fits counts.

    Raises:
        ValueError: a beginning fits no parameter.
    """
    names = {id(p): n for n, p in model.named_parameters()}
    for beginning, _ in factors:
        if not any(name.startswith(beginning) for name in names.values()):
            raise ValueError(
                f"SOLVER.LR_FACTORS: no parameter's name begins with '{beginning}'; they begin "
                f"with {sorted({name.split('.')[0] for name in names.values()})}"
            )
    scaled: Groups = []
    for group in groups:
        by_factor: dict[float, list[nn.Parameter]] = {}
        for parameter in group["params"]:
            name = names[id(parameter)]
            fitting = (factor for beginning, factor in factors if name.startswith(beginning))
            by_factor.setdefault(float(next(fitting, 1.0)), []).append(parameter)
        for factor, parameters in by_factor.items():
            scaled.append({**group, "params": parameters, "lr": factor * group["lr"]})
    return scaled
