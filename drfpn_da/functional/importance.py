"""Groups and means of importances and the rank regularisation of SCN (arXiv 2002.10392)."""

from __future__ import annotations

from typing import Optional

import torch
import torch.nn.functional as F
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


def importance_means(
    alpha: Tensor, beta: float, among: Optional[Tensor] = None
) -> tuple[Tensor, Tensor]:
    """Return the means of the groups of :func:`split_by_importance`; no GPU is waited for.

    Args:
        alpha: (N,) importances, in at least float32.
        beta: share of the high group, in (0, 1).
        among: (N,) bool, the importances that count; None: all.

    Returns:
        (3,) means of the high group, of the rest and of both, 0 where there is no importance;
        (3,) how many there are.
    """
    if among is None:
        among = torch.ones_like(alpha, dtype=torch.bool)
    # The others go behind all that count.
    descending = alpha.masked_fill(~among, -float("inf")).sort(descending=True, stable=True).values
    place = torch.arange(len(alpha), device=alpha.device)
    count = among.sum()
    both = place < count
    # In double precision, as Python computes int(beta * N).
    high = place < (beta * count.double()).floor()
    groups = torch.stack([high, high ^ both, both])
    counts = groups.sum(dim=1)
    return torch.where(groups, descending, 0.0).sum(dim=1) / counts.clamp(min=1), counts


def rank_of_means(means: Tensor, counts: Tensor, margin: float | Tensor, least: int = 2) -> Tensor:
    """Return :func:`rank_regularisation` from what :func:`importance_means` returned.

    Args:
        means: (3,).
        counts: (3,).
        margin: wanted difference of the means; a tensor gets a gradient too.
        least: 0, with a gradient of 0, for fewer importances.
    """
    short = torch.clamp(margin - (means[0] - means[1]), min=0)
    return torch.where((counts[:2].amin() > 0) & (counts[2] >= least), short, 0.0)


def rank_regularisation(alpha: Tensor, beta: float, margin: float | Tensor) -> Tensor:
    """How much the mean of the high group falls short of that of the rest plus a margin (eq. 3).

    ``max(0, margin - (mean of high - mean of low))``; 0, with a gradient of 0, where a group is
    empty (N * beta < 1).

    Args:
        alpha: (N,) importances.
        beta: share of the high group, in (0, 1).
        margin: wanted difference of the means; a tensor gets a gradient too.
    """
    return rank_of_means(*importance_means(at_least_float32(alpha), beta), margin)


def group_means(values: Tensor, groups: Tensor, among: Tensor) -> tuple[Tensor, Tensor]:
    """As :func:`mean_by_group`, in a tensor that is as long as the values: no GPU is waited for.

    Args:
        values: (N,) floats.
        groups: (N,) integers.
        among: (N,) bool, the values that count.

    Returns:
        (N,) means of the G groups in the order of the groups, then zeros; (N,) bool, True for the
        first G.
    """
    # The others go behind every group.
    keys, order = groups.masked_fill(~among, torch.iinfo(groups.dtype).max).sort(stable=True)
    number = F.pad((keys[1:] != keys[:-1]).long(), (min(len(keys), 1), 0)).cumsum(0)
    counted = among[order].to(values.dtype)
    sums = torch.zeros_like(values).index_add(0, number, values[order] * counted)
    counts = torch.zeros_like(values).index_add(0, number, counted)
    return sums / counts.clamp(min=1), counts > 0


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
