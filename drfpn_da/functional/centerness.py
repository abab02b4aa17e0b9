"""Centerness of points in boxes, which slender boxes need in a form of their own."""

from __future__ import annotations

from typing import Union

import torch
from torch import Tensor

# Keeps the exponent of a line above zero: there, 0 ** 0 would be 1.
LEAST_SLENDERNESS = 1e-3


def centerness(ltrb: Tensor, power: Union[str, float] = "standard") -> Tensor:
    """Return how central points lie in their boxes: 1 in the middle, 0 on the border.

    With q = min(l, r) / max(l, r) * min(t, b) / max(t, b) it is q ** power: 0.5 is FCOS (arXiv
    1904.01355, equation 3), "slender" is 0.5 * min(w / h, h / w) (arXiv 2011.08529), under which a
    slender box, of which few points lie in the middle of its short side, keeps more of them.

    Args:
        ltrb: (..., 4) distances to the left, top, right and bottom side, in any unit; points
            outside their box get 0.
        power: "standard" (0.5), "slender" or a positive number.

    Returns:
        (...) in [0, 1].

    Raises:
        ValueError: another power.
    """
    left, top, right, bottom = ltrb.clamp(min=0).unbind(dim=-1)
    share = _share(left, right) * _share(top, bottom)
    if power == "standard":
        return share.sqrt()
    if power == "slender":
        slenderness = _share(left + right, top + bottom).clamp(min=LEAST_SLENDERNESS)
        return share ** (0.5 * slenderness)
    if isinstance(power, str) or power <= 0:
        raise ValueError(f"centerness {power!r}: use 'standard', 'slender' or a positive number")
    return share**power


def _share(a: Tensor, b: Tensor) -> Tensor:
    return torch.minimum(a, b) / torch.maximum(a, b).clamp(min=torch.finfo(a.dtype).tiny)
