"""From keys of a config to arguments of a class."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def arguments(node: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """Return the values of a config node by the names that its keys have as arguments.

    Args:
        node: part of a config; ``COLOR_JITTER`` is the argument ``color_jitter``, ``MASK.SHARE``
            ``mask_share``.
        names: arguments to return; none: all of the node's.

    Raises:
        KeyError: the node has no key of such a name.
    """
    found = dict(_by_name(node))
    return {name: found[name] for name in names} if names else found


def _by_name(node: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        name = key.lower()
        if isinstance(value, Mapping):
            yield from ((f"{name}_{inner}", one) for inner, one in _by_name(value))
        else:
            yield name, value
