"""Cross-entropy of pixels against hard or soft targets, with the denominator said aloud."""

from __future__ import annotations

from typing import Union

from torch import Tensor
from torch.nn.functional import cross_entropy

from .domain import at_least_float32


def pixel_cross_entropy(
    logits: Tensor,
    target: Tensor,
    weights: Tensor,
    denominator: Union[float, Tensor],
    ignore: int = 255,
) -> Tensor:
    """Return ``sum of weight * cross-entropy / denominator``, in float32 or better.

    Args:
        logits: (N, C, H, W).
        target: (N, H, W) class ids, ``ignore`` where there is none; or (N, C, H, W) probabilities,
            all 0 where there are none.
        weights: (N, H, W).
        denominator: as a rule the number of all pixels (published for pseudo-labels) or of those
            with a target; below 1 it is taken as 1, so that nothing to learn gives 0.
        ignore: see ``target``.
    """
    logits = at_least_float32(logits)
    if target.dim() == 4:
        entropy = -(target * logits.log_softmax(dim=1)).sum(dim=1)
    else:
        entropy = cross_entropy(logits, target, ignore_index=ignore, reduction="none")
    if isinstance(denominator, Tensor):
        denominator = denominator.clamp(min=1)
    else:
        denominator = max(denominator, 1.0)
    return (weights * entropy).sum() / denominator
