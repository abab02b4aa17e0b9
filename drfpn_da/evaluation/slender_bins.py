"""Half-open bins of slenderness or of width over height."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from detectron2.config import CfgNode


class Bin(NamedTuple):
    """A named interval that contains ``low`` and not ``high``."""

    name: str
    low: float
    high: float

    def contains(self, values: np.ndarray) -> np.ndarray:
        """Tell which values lie in the bin."""
        return (values >= self.low) & (values < self.high)

    def contains_aspect(self, aspect: np.ndarray) -> np.ndarray:
        """Tell which widths over heights lie in a bin of slenderness by the published rule.

        Width over height takes the place of short over long side, so that wide boxes lie in no bin
        but the one that reaches up to squares, which is continued to its mirror image.
        """
        high = self.high if self.high <= 1 else (1 / self.low if self.low > 0 else math.inf)
        return (aspect >= self.low) & (aspect < high)


#: Extremely slender, slender, regular (arXiv 2011.08529).
SLENDERNESS_BINS = (Bin("XS", 0.0, 1 / 5), Bin("S", 1 / 5, 1 / 3), Bin("R", 1 / 3, math.inf))
#: Width over height of the box: extra tall, tall, medium, wide, extra wide.
ASPECT_BINS = (
    Bin("XT", 0.0, 1 / 5),
    Bin("T", 1 / 5, 1 / 3),
    Bin("M", 1 / 3, 3.0),
    Bin("W", 3.0, 5.0),
    Bin("XW", 5.0, math.inf),
)


def parse_bins(entries: Sequence[Sequence[Any]], key: str = "bins") -> tuple[Bin, ...]:
    """Read bins from [name, low, high] entries, as they stand in a config.

    Args:
        entries: in ascending order; a bin contains its lower and not its upper edge.
        key: named in errors.

    Raises:
        ValueError: no bin, a malformed one, two of one name, unsorted or overlapping bins.
    """
    bins: list[Bin] = []
    for entry in entries:
        if len(entry) != 3 or not isinstance(entry[0], str):
            raise ValueError(f"{key}: {list(entry)} is not [name, low, high]")
        this = Bin(entry[0], float(entry[1]), float(entry[2]))
        if not 0 <= this.low < this.high:
            raise ValueError(f"{key}: bin '{this.name}' needs 0 <= low < high, has {entry[1:]}")
        if not this.name or "/" in this.name or this.name == "all":
            raise ValueError(f"{key}: '{this.name}' cannot name a bin, it stands in metric names")
        if bins and this.low < bins[-1].high:
            raise ValueError(
                f"{key}: bins '{bins[-1].name}' {list(bins[-1][1:])} and '{this.name}' "
                f"{list(this[1:])} overlap or are not in ascending order"
            )
        bins.append(this)
    names = [this.name for this in bins]
    if not bins or len(set(names)) < len(names):
        raise ValueError(f"{key}: needs at least one bin, with different names; has {names}")
    return tuple(bins)


@dataclass(frozen=True)
class SlenderOptions:
    """Options of the evaluation by slenderness; see ``SlenderCOCOEvaluator``."""

    bins: tuple[Bin, ...] = SLENDERNESS_BINS
    aspect_bins: tuple[Bin, ...] = ASPECT_BINS
    legacy_fp_rule: bool = False


def slender_options(cfg: CfgNode) -> SlenderOptions | None:
    """Read ``TEST.SLENDER``; None if it is not enabled.

    Raises:
        ValueError: malformed, unsorted or overlapping bins.
    """
    node = cfg.TEST.SLENDER
    if not node.ENABLED:
        return None
    aspect = parse_bins(node.ASPECT_BINS, "TEST.SLENDER.ASPECT_BINS") if node.ASPECT_BINS else ()
    return SlenderOptions(parse_bins(node.BINS, "TEST.SLENDER.BINS"), aspect, node.LEGACY_FP_RULE)
