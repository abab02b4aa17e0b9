"""Rules for values of config keys: the default, what is accepted, and the words that say so.

A key is one statement, ``_C.MODEL.TEACHER.DECAY = Number(0.9996, low=0, high=1, below=True)``: the
first value of a rule is the default. Rules of entries inside of a list or row have none.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol


class Rule(Protocol):
    """Accepts some values; ``wanted`` ends the sentence "write ..."."""

    @property
    def default(self) -> Any:
        """Value of a key that nobody sets."""

    @property
    def wanted(self) -> str:
        """What to write."""

    def accepts(self, value: Any) -> bool:
        """Whether the value, of any type, will do."""


@dataclass(frozen=True)
class Flag:
    """True or False; numbers will not do."""

    default: bool = False
    wanted: str = "True or False"

    def accepts(self, value: Any) -> bool:
        """See :class:`Rule`."""
        return isinstance(value, bool)


@dataclass(frozen=True)
class Number:
    """A number from ``low`` to ``high``; NaN and booleans are none.

    Args:
        default: value of a key that nobody sets.
        low: smallest value.
        high: largest value.
        above: ``low`` itself will not do.
        below: ``high`` itself will not do.
        whole: integers only.
        infinite: infinity will do.
        scales: what becomes of it with another number of processes, see
            :func:`drfpn_da.engine.scaling.scale_to_processes`: "iterations" shrink as the batch
            grows, of a "kept" share an average keeps less at each step, "" stays.
    """

    default: float | None = None
    low: float = -math.inf
    high: float = math.inf
    above: bool = False
    below: bool = False
    whole: bool = False
    infinite: bool = False
    scales: str = ""

    @property
    def wanted(self) -> str:
        """What to write."""
        kind = "a whole number" if self.whole else "a number"
        if self.low == -math.inf:
            return kind
        if self.high == math.inf:
            kind += f" above {self.low:g}" if self.above else f", {self.low:g} or more"
            return f"{kind}, or .inf" if self.infinite else kind
        ends = "(" if self.above else "[", ")" if self.below else "]"
        return f"{kind} in {ends[0]}{self.low:.10g}, {self.high:.10g}{ends[1]}"

    def accepts(self, value: Any) -> bool:
        """See :class:`Rule`."""
        if isinstance(value, bool) or not isinstance(value, int if self.whole else (int, float)):
            return False
        if not self.low <= value <= self.high or not (self.infinite or math.isfinite(value)):
            return False
        return not ((self.above and value == self.low) or (self.below and value == self.high))


#: A whole number, 0 or more.
Count = partial(Number, low=0, whole=True)
#: A point in time or a duration.
Iterations = partial(Count, scales="iterations")
#: A whole number above 0.
PositiveCount = partial(Number, low=1, whole=True)
#: A factor, 0 or more.
Weight = partial(Number, low=0)
#: A number from 0 to 1.
Share = partial(Number, low=0, high=1)
#: A number from 0 to 1, without 1.
OpenShare = partial(Number, low=0, high=1, below=True)
#: The share of an average that a step keeps.
Kept = partial(OpenShare, scales="kept")
#: A number above 0.
Positive = partial(Number, low=0, above=True)


@dataclass(frozen=True, init=False)
class Choice:
    """One of a few values, of which the first is the default."""

    values: tuple[Any, ...]

    def __init__(self, *values: Any) -> None:
        object.__setattr__(self, "values", values)

    @property
    def default(self) -> Any:
        """Value of a key that nobody sets."""
        return self.values[0]

    @property
    def wanted(self) -> str:
        """What to write."""
        return f"one of {list(self.values)}"

    def accepts(self, value: Any) -> bool:
        """See :class:`Rule`."""
        # 1 == True: the type counts too.
        return any(type(value) is type(known) and value == known for known in self.values)


@dataclass(frozen=True)
class Text:
    """Words, perhaps none."""

    default: str = ""
    empty: bool = True

    @property
    def wanted(self) -> str:
        """What to write."""
        return "a text, which may be ''" if self.empty else "a name"

    def accepts(self, value: Any) -> bool:
        """See :class:`Rule`."""
        return isinstance(value, str) and (self.empty or bool(value.strip()))


Name = partial(Text, empty=False)


@dataclass(frozen=True)
class Registered:
    """A name in a registry, also one that a project of someone else has put there."""

    default: str
    registry: Iterable[tuple[str, Any]]

    @property
    def wanted(self) -> str:
        """What to write."""
        return f"one of {', '.join(self._names())}"

    def _names(self) -> list[str]:
        return sorted(name for name, _ in self.registry)

    def accepts(self, value: Any) -> bool:
        """See :class:`Rule`."""
        return isinstance(value, str) and value in self._names()


@dataclass(frozen=True)
class Items:
    """A list (or tuple) of like things.

    Args:
        default: value of a key that nobody sets.
        of: rule of each.
        least: so many at least.
        different: each only once.
    """

    default: Any
    of: Rule
    least: int = 0
    different: bool = False

    @property
    def wanted(self) -> str:
        """What to write."""
        size = f"at least {self.least} " if self.least else ""
        once = ", each only once" if self.different else ""
        return f"a list of {size}entries{once}; an entry is {self.of.wanted}"

    def accepts(self, value: Any) -> bool:
        """See :class:`Rule`."""
        if not isinstance(value, (list, tuple)) or len(value) < self.least:
            return False
        if not all(self.of.accepts(entry) for entry in value):
            return False
        return not self.different or len({str(entry) for entry in value}) == len(value)


Names = partial(Items, of=Name(), different=True)


@dataclass(frozen=True)
class Row:
    """A list (or tuple) of fixed length.

    Args:
        default: value of a key that nobody sets.
        fields: rule of each entry by its name, in order.
        ascending: the entries, numbers, must not fall.
        empty: an empty list will do too.
    """

    default: Any = None
    fields: dict[str, Rule] = field(default_factory=dict)
    ascending: bool = False
    empty: bool = False

    @property
    def wanted(self) -> str:
        """What to write."""
        rules: dict[str, list[str]] = {}
        for name, rule in self.fields.items():
            rules.setdefault(rule.wanted, []).append(name)
        details = "; ".join(f"{', '.join(of)}: {wanted}" for wanted, of in rules.items())
        order = ", ascending" if self.ascending else ""
        nothing = ", or []" if self.empty else ""
        return f"[{', '.join(self.fields)}]{order} ({details}){nothing}"

    def accepts(self, value: Any) -> bool:
        """See :class:`Rule`."""
        if not isinstance(value, (list, tuple)):
            return False
        if not value and self.empty:
            return True
        if len(value) != len(self.fields):
            return False
        if not all(rule.accepts(entry) for rule, entry in zip(self.fields.values(), value)):
            return False
        return not self.ascending or list(value) == sorted(value)


# ---------------------------------------------------------------------------- #
# Rules that several systems share
# ---------------------------------------------------------------------------- #
def norm(default: str) -> Choice:
    """Return the names that detectron2's ``get_norm`` knows."""
    known = ("", "BN", "SyncBN", "FrozenBN", "GN", "LN", "nnSyncBN", "naiveSyncBN", "naiveSyncBN_N")
    return Choice(default, *(name for name in known if name != default))


def color_jitter(default: list[float], empty: bool = False) -> Row:
    """Return the rule of a jitter: relative changes, that of hue in parts of the circle."""
    relative = {name: Weight() for name in ("brightness", "contrast", "saturation")}
    return Row(default, {**relative, "hue": Number(low=0, high=0.5)}, empty=empty)


def blur_sigma(default: list[float]) -> Row:
    """Return the rule of a range of standard deviations; a kernel is six of them wide."""
    sigma = Positive(high=100)
    return Row(default, {"smallest": sigma, "largest": sigma}, ascending=True)


def image_size(default: list[int], empty: bool = False) -> Row:
    """Return the rule of a height and a width in pixels."""
    return Row(default, {"height": PositiveCount(), "width": PositiveCount()}, empty=empty)


def stages(default: list[str]) -> Items:
    """Return the rule of names of a body's stages."""
    names = Choice("res1", "res2", "res3", "res4", "res5")
    return Items(default, names, least=1, different=True)


class Node(dict[str, Any]):
    """A node of the tree of keys, written to as a config is; each leaf is a rule."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self:
            raise ValueError(f"the key {name} is stated twice")
        # A bare True or False says all that a rule would.
        self[name] = Flag(value) if isinstance(value, bool) else value

    def rules(self, prefix: str = "") -> Iterator[tuple[str, Rule]]:
        """Yield the full name and the rule of each key."""
        for name, value in self.items():
            if isinstance(value, Node):
                yield from value.rules(f"{prefix}{name}.")
            else:
                yield prefix + name, value
