"""Wrong class labels put into COCO annotations on purpose, with the truth kept beside them."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Mapping
from typing import Any, Optional

import numpy as np

#: Class name -> the class it is taken for.
Confusions = Mapping[str, str]


def symmetric_noise(
    data: dict[str, Any], rate: float, seed: int, rates: Optional[Mapping[str, float]] = None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Give annotations another class, drawn evenly from all others, each with a probability.

    Args:
        data: COCO instances; not changed.
        rate: probability in [0, 1].
        seed: not negative; equal seeds give equal noise.
        rates: probabilities of single classes, by name, in place of ``rate``.

    Returns:
        The noisy copy, and the truth: see :func:`_truth`.

    Raises:
        ValueError: an impossible rate or unknown class name.
    """
    names = _names(data)
    if len(names) < 2:
        raise ValueError(f"noise needs at least two classes; there is only {list(names.values())}")
    _check_rate("the rate", rate)
    chances = dict.fromkeys(names.values(), rate)
    for name, value in (rates or {}).items():
        _known(name, names)
        _check_rate(f"the rate of '{name}'", value)
        chances[name] = value
    rng = np.random.default_rng(seed)
    ids = sorted(names)

    def flip(category: int) -> int:
        # Both are always drawn, so that other rates leave the noise of other classes as it is.
        chance, step = rng.random(), int(rng.integers(1, len(ids)))
        if chance >= chances[names[category]]:
            return category
        return ids[(ids.index(category) + step) % len(ids)]

    settings = {"kind": "symmetric", "rate": rate, "rates": dict(rates or {}), "seed": seed}
    return _apply(data, flip, settings)


def pairwise_noise(
    data: dict[str, Any], rate: float, confusions: Confusions, seed: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Take some classes for others with a probability; see :func:`symmetric_noise`.

    Args:
        data: COCO instances; not changed.
        rate: probability in [0, 1].
        confusions: class name -> the name it becomes.
        seed: not negative.
    """
    names = _names(data)
    by_name = {name: category for category, name in names.items()}
    for pair in confusions.items():
        for name in pair:
            _known(name, names)
        if pair[0] == pair[1]:
            raise ValueError(f"class '{pair[0]}' cannot be confused with itself")
    _check_rate("the rate", rate)
    rng = np.random.default_rng(seed)

    def flip(category: int) -> int:
        chance, target = rng.random(), confusions.get(names[category])
        return by_name[target] if target is not None and chance < rate else category

    settings = {"kind": "pairwise", "rate": rate, "confusions": dict(confusions), "seed": seed}
    return _apply(data, flip, settings)


def _apply(data: dict[str, Any], flip: Any, settings: dict[str, Any]) -> Any:
    noisy = copy.deepcopy(data)
    categories = _names(data)
    flips = []
    # By id, so that the order of the file does not matter.
    for annotation in sorted(noisy["annotations"], key=lambda a: a["id"]):
        if annotation.get("iscrowd", 0):
            continue
        true = annotation["category_id"]
        annotation["category_id"] = flip(true)
        if annotation["category_id"] != true:
            flips.append({"id": annotation["id"], "true": true, "noisy": annotation["category_id"]})
    return noisy, _truth(data, categories, flips, settings)


def _truth(
    data: dict[str, Any], names: dict[int, str], flips: list[dict], settings: dict[str, Any]
) -> dict[str, Any]:
    """Settings, counts by class, and every changed annotation with its true category."""
    counts = Counter(a["category_id"] for a in data["annotations"] if not a.get("iscrowd", 0))
    lost = Counter(flip["true"] for flip in flips)
    return {
        "settings": settings,
        "annotations": sum(counts.values()),
        "changed": len(flips),
        "by_class": {
            name: {"annotations": counts[i], "changed": lost[i]} for i, name in names.items()
        },
        "flips": flips,
    }


def _names(data: dict[str, Any]) -> dict[int, str]:
    missing = [key for key in ("images", "annotations", "categories") if key not in data]
    if missing:
        raise ValueError(f"not COCO's instances format: there is no '{missing[0]}'")
    if any("id" not in annotation for annotation in data["annotations"]):
        raise ValueError("an annotation has no 'id', by which the truth would be found again")
    return {c["id"]: c["name"] for c in sorted(data["categories"], key=lambda c: c["id"])}


def _known(name: str, names: dict[int, str]) -> None:
    if name not in names.values():
        raise ValueError(f"there is no class '{name}'; classes are: {', '.join(names.values())}")


def _check_rate(what: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"{what} is {value}; a probability lies in [0, 1]")
