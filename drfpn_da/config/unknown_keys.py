"""Find config keys that do not exist, and the existing ones that were meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any

import yaml
from detectron2.config import CfgNode
from detectron2.utils.file_io import PathManager

from .safe_yaml import BASE_KEY, base_files


def leaf_keys(tree: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield the full names (``A.B.C``) of a tree's leaves; an empty node counts as a leaf."""
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            yield from leaf_keys(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def nearest_keys(key: str, cfg: CfgNode, count: int = 3) -> list[str]:
    """Return existing keys like ``key``: nearly the same name, or the same word elsewhere."""
    known = list(leaf_keys(cfg))
    near = difflib.get_close_matches(key, known, n=count, cutoff=0.8)
    word = key.rsplit(".", 1)[-1]
    elsewhere = [k for k in known if k.rsplit(".", 1)[-1] == word]
    elsewhere = difflib.get_close_matches(key, elsewhere, n=count, cutoff=0.0)
    return list(dict.fromkeys(near + elsewhere))[:count]


def unknown_key_message(key: str, origin: str, cfg: CfgNode) -> str:
    """Return an error message that names the key, where it stands and what may be meant."""
    near = nearest_keys(key, cfg)
    hint = f"did you mean {' or '.join(near)}?" if near else "no existing key is like it."
    return f"unknown config key '{key}' in {origin}: {hint}"


def unknown_in_file(path: str, cfg: CfgNode) -> tuple[str, str] | None:
    """Return (key, file) of the first key of a YAML file, or of its bases, that ``cfg`` has not."""
    known = set(leaf_keys(cfg))
    with PathManager.open(path, "r") as file:
        # The base loader reads any tag without evaluating it.
        tree = yaml.load(file, Loader=yaml.BaseLoader) or {}
    bases = base_files(tree, path)
    tree.pop(BASE_KEY, None)
    for key in leaf_keys(tree):
        if not _exists(key, known):
            return key, path
    found = (unknown_in_file(base, cfg) for base in bases)
    return next((unknown for unknown in found if unknown), None)


def contradictions(path: str, cfg: CfgNode) -> list[str]:
    """Return keys of a YAML file that are values in ``cfg``, but hold further keys in the file."""
    with PathManager.open(path, "r") as file:
        tree = yaml.load(file, Loader=yaml.BaseLoader) or {}
    return sorted(set(leaf_keys(cfg)) & set(_nodes(tree)))


def _nodes(tree: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield f"{prefix}{key}"
            yield from _nodes(value, f"{prefix}{key}.")


def _exists(key: str, known: set[str]) -> bool:
    """Whether the key is a leaf, an inner node, or inside a leaf whose value is a dict."""
    parts = key.split(".")
    return (
        any(".".join(parts[:i]) in known for i in range(1, len(parts) + 1))
        or any(k.startswith(key + ".") for k in known)
        or key == "VERSION"
    )
