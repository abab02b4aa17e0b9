"""Random changes of configs: other types, values out of range, unknown names, other lengths."""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from drfpn_da.config import get_defaults
from drfpn_da.config.combinations import lookup
from drfpn_da.config.rules import Choice, Registered
from drfpn_da.config.tree import RULES

KEYS = sorted(RULES)
#: Of other types than the default, whatever that is.
STRANGERS = (
    *(None, True, False, "", "x", "res9", 0, -1, 1, 2, 0.5, -0.1, 1e9, math.nan, math.inf),
    *([], [1], [-1], ["x"], [""], [None], [[]], [[1, 2]], [[0.5, 0.5]], ["res2", "res2"], {}),
)
#: Widths of layers are among the whole numbers: none so large that memory is short.
WHOLE = (-5, -1, 0, 1, 2, 3, 7, 33, 100)
REAL = (-1e9, -1.0, -1e-9, 0.0, 1e-9, 0.3, 0.999, 1.0, 1.5, 50.0, 1e9, math.nan, math.inf)
NAMES = ("", " ", "res2", "res9", "p3", "p2.0", "build_vgg16_backbone", "none", "drfpn", "weak")


@dataclass(frozen=True)
class Change:
    """A key, known or not, and its new value."""

    key: str
    value: Any


def random_changes(rng: random.Random) -> list[Change]:
    """Return one to three changes."""
    return [_change(rng) for _ in range(rng.choice((1, 1, 2, 3)))]


def _change(rng: random.Random) -> Change:
    key = rng.choice(KEYS)
    if rng.random() < 0.05:
        return Change(_misspelt(key, rng), rng.choice(STRANGERS))
    kinds: tuple[Callable[[str, random.Random], Any], ...] = (_stranger, _alike, _alike, _chosen)
    return Change(key, rng.choice(kinds)(key, rng))


def _misspelt(key: str, rng: random.Random) -> str:
    at = rng.randrange(len(key))
    return rng.choice((key[:at] + "X" + key[at:], key + ".MORE", key.rsplit(".", 1)[0], "NOWHERE"))


def _stranger(key: str, rng: random.Random) -> Any:
    return copy.deepcopy(rng.choice(STRANGERS))


def _alike(key: str, rng: random.Random) -> Any:
    """A value of the default's type, seldom a good one."""
    return _like(lookup(get_defaults(), key), rng)


def _like(value: Any, rng: random.Random) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return rng.choice(WHOLE)
    if isinstance(value, float):
        return rng.choice(REAL)
    if isinstance(value, str):
        return rng.choice((*NAMES, value + "x", value.upper()))
    entries = [copy.deepcopy(entry) for entry in value]
    change = rng.choice(("shorter", "longer", "entry", "order", "empty"))
    if change == "empty" or not entries:
        return [rng.choice(STRANGERS)] if change == "longer" else []
    at = rng.randrange(len(entries))
    if change == "shorter":
        del entries[at]
    elif change == "longer":
        entries.insert(at, entries[-1])
    elif change == "order":
        entries.reverse()
    else:
        entries[at] = _like(entries[at], rng)
    return entries


def _chosen(key: str, rng: random.Random) -> Any:
    """A value of the rule's list, if it has one: good by itself, perhaps not here."""
    rule = RULES[key]
    if isinstance(rule, Choice):
        return rng.choice(rule.values)
    if isinstance(rule, Registered):
        return rng.choice(sorted(name for name, _ in rule.registry))
    return _alike(key, rng)
