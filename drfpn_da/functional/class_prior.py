"""Regularisers of self-training that keep predictions from collapsing (arXiv 1908.02983)."""

from __future__ import annotations

from typing import Optional

import torch
from torch import Tensor


def prior_regulariser(mean: Tensor, prior: Tensor) -> Tensor:
    """Return KL(prior || mean), R_A (section 3.1) up to the prior's own entropy.

    Args:
        mean: (C,), mean predicted probabilities.
        prior: (C,), wanted frequencies, above 0 and with sum 1.
    """
    safe = mean.clamp(min=torch.finfo(mean.dtype).tiny)
    return (prior * (prior / safe).log()).sum()


def entropy_regulariser(logits: Tensor, among: Optional[Tensor] = None) -> Tensor:
    """Return the mean entropy of the rows' softmax, R_H (section 3.1).

    Args:
        logits: (R, C).
        among: (R,) bool, the rows that count, by a mask, so that a GPU is not waited for; None:
            all. Where none counts, the result is 0.
    """
    log_p = logits.log_softmax(dim=1)
    entropy = -(log_p.exp() * log_p).sum(dim=1)
    if among is None:
        return entropy.mean()
    return entropy.masked_fill(~among, 0).sum() / among.sum().clamp(min=1)
