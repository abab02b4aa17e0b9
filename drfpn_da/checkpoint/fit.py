"""Whether the weights of a checkpoint fit a model."""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from torch import nn
from torch.nn.parameter import is_lazy


class CheckpointError(ValueError):
    """A checkpoint that cannot be read, holds more than weights and numbers, or does not fit."""


@dataclass
class Fit:
    """What of a checkpoint has reached a model.

    Buffers do not count: old states without them are completed while they are loaded.

    Attributes:
        source: the checkpoint.
        loaded: names of the model's parameters that were loaded.
        missing: names of those that were not; random, or as they were before.
        mismatched: (name, shape in the checkpoint, shape in the model).
    """

    source: str
    loaded: set[str]
    missing: list[str]
    mismatched: list[tuple[str, tuple[int, ...], tuple[int, ...]]]

    @classmethod
    def of(cls, model: nn.Module, incompatible: Any, source: str) -> Fit:
        """Read fvcore's report of what was not compatible."""
        state = model.state_dict(keep_vars=True).items()
        parameters = [key for key, value in state if isinstance(value, nn.Parameter)]
        wrong = [(k, tuple(there), tuple(here)) for k, there, here in incompatible.incorrect_shapes]
        absent = {*incompatible.missing_keys, *(key for key, *_ in wrong)}
        return cls(
            source,
            loaded={key for key in parameters if key not in absent},
            missing=[key for key in parameters if key in absent],
            mismatched=wrong,
        )

    def refuse_nothing(self, keys: Sequence[str], prefixes: Sequence[str]) -> None:
        """Raise if no parameter was loaded.

        Args:
            keys: names of the weights in the checkpoint.
            prefixes: that were tried, beside none.

        Raises:
            CheckpointError: names the prefix and the mend.
        """
        if self.loaded or not self.missing:
            return
        found = f"its names begin with {_beginnings(keys)}" if keys else "it holds no weights"
        wanted = _beginnings(self.missing)
        tried = f", also without {' and '.join(map(repr, prefixes))}" if prefixes else ""
        raise CheckpointError(
            f"no tensor of checkpoint {self.source} fits the model{tried}: {found}, those of the "
            f"model with {wanted}. Give a checkpoint of this architecture, take the prefix off its "
            "names, or, where only their beginnings differ (a backbone's, say), write "
            "?matching_heuristics=True behind its name in MODEL.WEIGHTS"
        )

    def refuse_mismatch(self, part: str, mend: str) -> None:
        """Raise if a tensor has another shape than in the model.

        Args:
            part: beginning of the names that count; "": all.
            mend: what to do, for the message.

        Raises:
            CheckpointError: names the first tensors and their shapes.
        """
        wrong = [entry for entry in self.mismatched if entry[0].startswith(part)]
        if not wrong:
            return
        shown = ", ".join(f"{k} is {there} there and {here} here" for k, there, here in wrong[:3])
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise CheckpointError(
            f"checkpoint {self.source} does not fit the config: {shown}{more}. {mend}"
        )

    def refuse_random_parts(self, model: nn.Module, part: str) -> None:
        """Raise if a parameter that predictions need was not loaded.

        What a model lists in ``training_parts`` is not needed. Features of a part alone may come
        from a file that has less of it, such as a body without the pyramid above it.

        Args:
            model: that was loaded.
            part: beginning of the names that are used; "": all.

        Raises:
            CheckpointError: names the parts.
        """
        unneeded = tuple(f"{name}." for name in getattr(model, "training_parts", ()))
        needed = [k for k in self.missing if k.startswith(part) and not k.startswith(unneeded)]
        if part and any(name.startswith(part) for name in self.loaded):
            return
        parts = list(dict.fromkeys(_part(name) for name in needed))
        if parts:
            raise CheckpointError(
                f"checkpoint {self.source} lacks {len(needed)} parameters, such as {needed[0]}, of "
                f"{', '.join(parts[:4])}, which would predict at random: give a checkpoint of the "
                "whole model, trained with this config (MODEL.WEIGHTS '' predicts with random "
                "weights)"
            )


def tensor_shapes(model: nn.Module) -> dict[str, Optional[tuple[int, ...]]]:
    """Return the shape of each tensor in a model's state; None for those not yet made."""
    return {
        key: None if is_lazy(value) else tuple(value.shape)
        for key, value in model.state_dict(keep_vars=True).items()
    }


def pop_hidden_misfits(
    model: nn.Module, state: MutableMapping[str, Any]
) -> list[tuple[str, tuple[int, ...], tuple[int, ...]]]:
    """Take tensors of another shape out of a state where fvcore looks for their modules in vain.

    It looks by the names in the state, which for an adapted model are those of the detector inside.

    Returns:
        Their names, shapes in the state and shapes in the model.
    """
    found = []
    for name, shape in tensor_shapes(model).items():
        if shape is None or name not in state:
            continue
        there = tuple(state[name].shape)
        if there == shape:
            continue
        try:
            model.get_submodule(name.rpartition(".")[0])
        except AttributeError:
            found.append((name, there, shape))
            del state[name]
    return found


def _part(name: str) -> str:
    names = name.split(".")
    deep = len(names) > 2 and names[0] != "backbone"
    return ".".join(names[:2]) if deep else names[0]


def _beginnings(names: Sequence[str]) -> str:
    found = list(dict.fromkeys(f"'{name.partition('.')[0]}.'" for name in names if "." in name))
    found = found or [f"'{name}'" for name in names]
    return ", ".join(found[:4]) + (", ..." if len(found) > 4 else "")
