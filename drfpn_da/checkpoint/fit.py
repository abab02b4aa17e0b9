"""Checks that a checkpoint fits a model, and removal of prefixes from its keys."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Optional

from torch import nn

logger = logging.getLogger(__name__)

#: What wrappers, trainers and teacher-student codes write before the names of a plain detector;
#: those of a teacher first, which is the better model of the two.
PREFIXES = (
    *("modelTeacher.", "teacher.", "ema_model.", "ema."),
    *("modelStudent.", "student.", "model.", "module."),
)
#: Adapted models have these beside the detector, and can do without.
_BESIDE = ("teacher.", "objectives.")


def strip_prefix(state: Mapping[str, Any], wanted: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the prefix to take off the names of a checkpoint, and the tensors below it.

    Args:
        state: tensors of the checkpoint by name.
        wanted: tensors of the model by name.

    Returns:
        Prefix, "" for none, and the state as it is or that below the prefix without it. With
        several prefixes, that of which most tensors have a name of the model; of equals the
        teacher's. A name that fits as it is wins over one below a prefix.
    """
    best, most = "", sum(name in wanted for name in state)
    for prefix in _candidates(state):
        fitting = sum(name[len(prefix) :] in wanted for name in state if name.startswith(prefix))
        if fitting > most:
            best, most = prefix, fitting
    if not best:
        return "", dict(state)
    return best, {k[len(best) :]: value for k, value in state.items() if k.startswith(best)}


def _candidates(state: Iterable[str]) -> list[str]:
    names = list(state)
    single = [prefix for prefix in PREFIXES if any(name.startswith(prefix) for name in names)]
    # Such as "module.modelTeacher.".
    double = [outer + inner for outer in single for inner in PREFIXES]
    return [*double, *single]


@dataclass(frozen=True)
class Fit:
    """The parameters of a model that a checkpoint did not give.

    Attributes:
        lacking: names of parameters that keep the values they had, of the model without teacher
            and objectives.
        other_shapes: name, shape in the checkpoint, shape in the model.
        total: number of parameters of the model.
        example: a name in the checkpoint.
    """

    lacking: tuple[str, ...]
    other_shapes: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...]
    total: int
    example: str

    @property
    def nothing(self) -> bool:
        """Whether no parameter was loaded."""
        return len(self.lacking) == self.total > 0

    def misfit(self) -> Optional[str]:
        """Return what does not fit, for a message; None if every parameter was loaded."""
        if not self.lacking:
            return None
        if self.nothing and not self.other_shapes:
            return (
                f"its names are such as '{self.example}', the model's as '{self.lacking[0]}'. "
                "Write the config that it was trained with, or rename its tensors (the prefixes "
                f"{', '.join(PREFIXES)} are taken off)"
            )
        if self.other_shapes:
            name, found, expected = self.other_shapes[0]
            return (
                f"{name} has shape {list(found)} in the file and {list(expected)} in the model: it "
                "was trained with another number of classes or another network; write the config "
                "that it was trained with"
            )
        return (
            f"{len(self.lacking)} of the model's {self.total} parameters are not in the file, for "
            f"example {self.lacking[0]}: write the config that it was trained with, or train on it"
        )


def judge(model: nn.Module, loaded: Any, state: Iterable[str]) -> Fit:
    """Return how a checkpoint fitted.

    Args:
        model: after loading.
        loaded: detectron2's result, with missing keys and incorrect shapes.
        state: names in the checkpoint.
    """
    known = model.state_dict(keep_vars=True)
    parameters = [
        name
        for name, value in known.items()
        if isinstance(value, nn.Parameter) and not name.startswith(_BESIDE)
    ]
    shapes = tuple(loaded.incorrect_shapes)
    absent = {*loaded.missing_keys, *(name for name, _, _ in shapes)}
    lacking = tuple(name for name in parameters if name in absent)
    return Fit(
        lacking,
        tuple(x for x in shapes if x[0] in lacking),
        len(parameters),
        next(iter(state), "nothing"),
    )
