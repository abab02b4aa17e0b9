"""Groups and means of importances and the rank regularisation of SCN (arXiv 2002.10392)."""

from __future__ import annotations

import torch
from torch import Tensor

from .domain import at_least_float32


def split_by_importance(alpha: Tensor, beta: float) -> tuple[Tensor, Tensor]:
    """Return the indices of the int(beta * N) largest values and of the rest, each ascending.

    Args:
        alpha: (N,); equal values are divided by their index.
        beta: share of the high group, in (0, 1).
    """
    order = torch.argsort(alpha, descending=True, stable=True)
    high = int(beta * alpha.numel())
    return order[:high].sort().values, order[high:].sort().values


def rank_regularisation(alpha: Tensor, beta: float, margin: float | Tensor) -> Tensor:
    """How much the mean of the high group falls short of that of the rest plus a margin (eq. 3).

    ``max(0, margin - (mean of high - mean of low))``; 0, with a gradient of 0, where a group is
    empty (N * beta < 1).

    Args:
        alpha: (N,) importances.
        beta: share of the high group, in (0, 1).
        margin: wanted difference of the means; a tensor gets a gradient too.
    """
    alpha = at_least_float32(alpha)
    high, low = split_by_importance(alpha.detach(), beta)
    if not len(high) or not len(low):
        return (alpha.sum() + margin) * 0
    return torch.clamp(margin - (alpha[high].mean() - alpha[low].mean()), min=0)


def mean_by_group(values: Tensor, groups: Tensor) -> tuple[Tensor, Tensor]:
    """Average values that belong together.

    Args:
        values: (N,) floats.
        groups: (N,) integers.

    Returns:
        (G,) the different groups, ascending, and (G,) their means.
    """
    keys, inverse, counts = torch.unique(groups, return_inverse=True, return_counts=True)
    sums = values.new_zeros(len(keys)).index_add(0, inverse, values)
    return keys, sums / counts.to(sums.dtype)
