"""Gradient clipping: detectron2's, of each parameter, or by the norm of the whole model."""

from __future__ import annotations

from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.solver.build import maybe_add_gradient_clipping

#: Values of SOLVER.CLIP_GRADIENTS.CLIP_TYPE; detectron2 knows the first two.
CLIP_TYPES = ("value", "norm", "full_model")


def clip_gradients(
    optimizer: torch.optim.Optimizer,
    clip_type: str = "full_model",
    clip_value: float = 1.0,
    norm_type: float = 2.0,
) -> torch.optim.Optimizer:
    """Let an optimiser clip gradients before each of its steps.

    Args:
        optimizer: of any kind; it is changed.
        clip_type: "value" bounds every element, "norm" the norm of each parameter, "full_model" the
            norm of all parameters together, which keeps the direction of the step.
        clip_value: the bound; one number a step for "full_model".
        norm_type: of the norm; ``inf`` for the largest element.

    Returns:
        The optimiser.

    Raises:
        ValueError: an unknown type.
    """
    if clip_type not in CLIP_TYPES:
        raise ValueError(
            f"SOLVER.CLIP_GRADIENTS.CLIP_TYPE is '{clip_type}'; write one of "
            f"{', '.join(CLIP_TYPES)}"
        )
    if clip_type != "full_model":
        node = {"CLIP_TYPE": clip_type, "CLIP_VALUE": clip_value, "NORM_TYPE": norm_type}
        cfg = CfgNode({"SOLVER": {"CLIP_GRADIENTS": {"ENABLED": True, **node}}})
        return maybe_add_gradient_clipping(cfg, optimizer)

    def clip(own: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        parameters = [p for group in own.param_groups for p in group["params"]]
        torch.nn.utils.clip_grad_norm_(parameters, clip_value, norm_type)

    # Mixed precision has removed its loss scale when an optimiser's step begins.
    optimizer.register_step_pre_hook(clip)
    return optimizer
