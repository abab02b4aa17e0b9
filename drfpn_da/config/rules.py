"""Rules for values of config keys: what is accepted, and the words that say so."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol


class Rule(Protocol):
    """Accepts some values; ``wanted`` ends the sentence "write ..."."""

    @property
    def wanted(self) -> str:
        """What to write."""

    def accepts(self, value: Any) -> bool:
        """Whether the value, of any type, will do."""


@dataclass(frozen=True)
class Flag:
    """True or False; numbers will not do."""

    wanted: str = "True or False"

    def accepts(self, value: Any) -> bool:
        """See :class:`Rule`."""
        return isinstance(value, bool)


@dataclass(frozen=True)
class Number:
    """A number from ``low`` to ``high``; NaN and booleans are none.

    Args:
        low: smallest value.
        high: largest value.
        above: ``low`` itself will not do.
        below: ``high`` itself will not do.
        whole: integers only.
        infinite: infinity will do.
    """

    low: float = -math.inf
    high: float = math.inf
    above: bool = False
    below: bool = False
    whole: bool = False
    infinite: bool = False

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


@dataclass(frozen=True)
class Choice:
    """One of a few values."""

    values: tuple[Any, ...]

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

    empty: bool = True

    @property
    def wanted(self) -> str:
        """What to write."""
        return "a text, which may be ''" if self.empty else "a name"

    def accepts(self, value: Any) -> bool:
        """See :class:`Rule`."""
        return isinstance(value, str) and (self.empty or bool(value.strip()))


@dataclass(frozen=True)
class Registered:
    """A name in a registry, also one that a project of someone else has put there."""

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
        of: rule of each.
        least: so many at least.
        different: each only once.
    """

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


@dataclass(frozen=True)
class Row:
    """A list (or tuple) of fixed length.

    Args:
        fields: name and rule of each entry, in order.
        ascending: the entries, numbers, must not fall.
    """

    fields: tuple[tuple[str, Rule], ...]
    ascending: bool = False

    @property
    def wanted(self) -> str:
        """What to write."""
        rules: dict[str, list[str]] = {}
        for name, rule in self.fields:
            rules.setdefault(rule.wanted, []).append(name)
        names = ", ".join(name for name, _ in self.fields)
        details = "; ".join(f"{', '.join(of)}: {wanted}" for wanted, of in rules.items())
        order = ", ascending" if self.ascending else ""
        return f"[{names}]{order} ({details})"

    def accepts(self, value: Any) -> bool:
        """See :class:`Rule`."""
        if not isinstance(value, (list, tuple)) or len(value) != len(self.fields):
            return False
        if not all(rule.accepts(entry) for (_, rule), entry in zip(self.fields, value)):
            return False
        return not self.ascending or list(value) == sorted(value)


@dataclass(frozen=True)
class OrEmpty:
    """What another rule accepts, or an empty list."""

    rule: Rule

    @property
    def wanted(self) -> str:
        """What to write."""
        return f"{self.rule.wanted}, or []"

    def accepts(self, value: Any) -> bool:
        """See :class:`Rule`."""
        return (isinstance(value, (list, tuple)) and not value) or self.rule.accepts(value)
