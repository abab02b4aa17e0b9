"""Refuse a config that cannot be, before anything is built or read."""

from __future__ import annotations

from detectron2.config import CfgNode

from .combinations import impossible_combinations, late_teachers, lookup
from .values import VALUES


def check_config(cfg: CfgNode) -> None:
    """Check the keys of drfpn_da: type, range, and what goes together with the detector.

    What a config alone does not tell (channels of features, classes of data sets) is checked when
    model and loader are built.

    Args:
        cfg: with the keys of drfpn_da.

    Raises:
        ValueError: every value that cannot be, a line for each: key, value, what to write.
    """
    wrong = [
        f"{key} is {value!r}; write {rule.wanted}"
        for key, rule in VALUES.items()
        if not rule.accepts(value := lookup(cfg, key))
    ]
    # Combinations are asked about values of the right type only.
    wrong = wrong or [*impossible_combinations(cfg), *late_teachers(cfg)]
    if wrong:
        raise ValueError("\n".join(wrong))
