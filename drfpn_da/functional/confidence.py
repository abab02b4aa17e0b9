"""Weights of pseudo-labels of pixels (arXiv 2012.10782, section 3.3)."""

from __future__ import annotations

from typing import Optional

import torch
from torch import Tensor

#: How the confidence of pixels becomes their weights.
CONFIDENCE_RULES = ("batch_share", "per_pixel", "off")


def confidence_weights(
    confidence: Tensor,
    rule: str = "batch_share",
    threshold: float = 0.968,
    inside: Optional[Tensor] = None,
) -> Tensor:
    """Return the weights of pixels.

    Args:
        confidence: (N, H, W), largest class probability; 0 for pixels without a label.
        rule: "batch_share": all weights are the share of the batch's pixels with at least
            ``threshold`` (published); "per_pixel": 1 for those pixels, 0 for others; "off": 1.
        threshold: inclusive.
        inside: (N, H, W) bool, pixels that belong to pictures; None: all. Others count nowhere and
            weigh 0.

    Returns:
        (N, H, W) float32. With several processes the share is that of the own batch.

    Raises:
        ValueError: an unknown rule.
    """
    if inside is None:
        inside = torch.ones_like(confidence, dtype=torch.bool)
    confident = (confidence >= threshold) & inside
    if rule == "batch_share":
        return confident.sum() / inside.sum().clamp(min=1) * inside.float()
    if rule == "per_pixel":
        return confident.float()
    if rule == "off":
        return inside.float()
    raise ValueError(f"unknown confidence rule '{rule}'; known: {', '.join(CONFIDENCE_RULES)}")
