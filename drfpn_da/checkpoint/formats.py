"""Files of weights: torch's and safetensors; prefixes that other programs put before the names."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any, Optional

import torch

from .fit import CheckpointError

logger = logging.getLogger(__name__)

#: What training programs put before the names, as "module." of data parallelism. Where two fit
#: equally well, the first is taken: an average or teacher rather than the model that is trained.
PREFIXES = (
    *("ema.", "ema_model.", "modelTeacher.", "teacher."),
    *("module.", "model.", "student.", "modelStudent."),
)

#: Name -> shape; None where a lazy module takes any shape.
Shapes = Mapping[str, Optional[tuple[int, ...]]]


def read_weights(file: str) -> Mapping[str, Any]:
    """Return what a file holds, on the CPU: tensors, numbers, words and their containers.

    The weights are under "model" where the file has them there or under "state_dict"; a file of
    tensors alone is returned as it is.

    Raises:
        CheckpointError: the file holds something without names.
        EOFError: a ``.safetensors`` file is damaged.
        pickle.UnpicklingError, RuntimeError: another file is damaged or holds other objects.
    """
    if file.endswith(".safetensors"):
        return _read_safetensors(file)
    # Stated, not left to torch, whose default was otherwise before 2.6.
    content = torch.load(file, map_location="cpu", weights_only=True)
    if not isinstance(content, Mapping):
        raise CheckpointError(
            f"{file} holds a {type(content).__name__} in place of weights by name, such as "
            "torch.save({'model': model.state_dict()}, file) writes"
        )
    if "model" not in content:
        inner = content.get("state_dict")
        if isinstance(inner, Mapping):
            return {**content, "model": inner}
    return content


def _read_safetensors(file: str) -> dict[str, torch.Tensor]:
    # Here, for a machine without it trains and predicts as well.
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(file)
    except SafetensorError as error:
        raise EOFError(str(error)) from error


def prefixes_of(keys: Iterable[str]) -> list[str]:
    """Return the prefixes that keys begin with, none first, then in the order of preference."""
    found: dict[str, tuple[int, ...]] = {"": ()}
    for key in keys:
        prefix = ""
        rank: tuple[int, ...] = ()
        while (word := key[len(prefix) :].partition(".")[0] + ".") in PREFIXES:
            prefix, rank = prefix + word, (*rank, PREFIXES.index(word))
            found[prefix] = rank
    return sorted(found, key=lambda prefix: found[prefix])


def without_prefix(
    state: Mapping[str, Any], expected: Shapes, source: str, ends: bool = False
) -> Mapping[str, Any]:
    """Return the weights whose names fit a model best when a prefix is taken off.

    Args:
        state: name -> tensor or array, perhaps of several networks with a prefix each.
        expected: of the model.
        source: where the weights are from, for the log.
        ends: a name need only be the end of the model's, as for detectron2's matching heuristics.

    Returns:
        ``state`` itself, if its names fit as well as any others; else the part with the prefix
        that gives most tensors of the right name and shape, without that prefix.
    """
    places = _places(expected, ends)
    counts = {prefix: _fitting(state, places, prefix) for prefix in prefixes_of(state)}
    best = max(counts, key=lambda prefix: counts[prefix])  # the first of equals
    # Single tensors, such as those of a teacher's objectives, are no network.
    others = [p for p, count in counts.items() if p != best and 2 * count > counts[best]]
    if others:
        logger.warning(
            "%s holds several networks: %s fit this model; taken is %s",
            source,
            ", ".join(f"{counts[p]} tensors of {_named(p)}" for p in [best, *others]),
            _named(best),
        )
    if not best:
        return state
    logger.info("The prefix '%s' is taken off the names of the weights in %s", best, source)
    kept = OrderedDict((k[len(best) :], v) for k, v in state.items() if k.startswith(best))
    # Versions of the modules, by which torch reads older states.
    versions = getattr(state, "_metadata", None) or {}
    kept._metadata = {  # type: ignore[attr-defined]
        path[len(best) :]: version
        for path, version in versions.items()
        if f"{path}.".startswith(best)
    }
    return kept


def _places(expected: Shapes, ends: bool) -> dict[str, set[Optional[tuple[int, ...]]]]:
    """Return the shapes under each name, or under each end of names, from a dot on."""
    places: dict[str, set[Optional[tuple[int, ...]]]] = {}
    for key, shape in expected.items():
        parts = key.split(".")
        for start in range(len(parts) if ends else 1):
            places.setdefault(".".join(parts[start:]), set()).add(shape)
    return places


def _fitting(
    state: Mapping[str, Any], places: Mapping[str, set[Optional[tuple[int, ...]]]], prefix: str
) -> int:
    count = 0
    for key, value in state.items():
        shapes = places.get(key[len(prefix) :], set()) if key.startswith(prefix) else set()
        count += bool(shapes & {None, tuple(getattr(value, "shape", ()))})
    return count


def _named(prefix: str) -> str:
    return f"'{prefix}'" if prefix else "no prefix"
