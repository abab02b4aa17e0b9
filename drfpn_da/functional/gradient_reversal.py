"""Gradient reversal (Ganin and Lempitsky, arXiv 1409.7495)."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor


class _Reversal(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, coefficient: float) -> Tensor:
        ctx.coefficient = coefficient
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0] * -ctx.coefficient, None


def reverse_gradient(x: Tensor, coefficient: float = 1.0) -> Tensor:
    """Return ``x``; its gradient is multiplied by ``-coefficient``."""
    reversed_x: Tensor = _Reversal.apply(x, coefficient)
    return reversed_x


def dann_ramp(progress: float) -> float:
    """Return 2 / (1 + exp(-10 p)) - 1, from 0 at p = 0 to nearly 1 at p = 1 (arXiv 1505.07818).

    Args:
        progress: p; values outside [0, 1] count as 0 or 1.
    """
    return 2 / (1 + math.exp(-10 * min(max(progress, 0.0), 1.0))) - 1
