"""Checkpoints of a wrapper that look like checkpoints of what it wraps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn


class InnerKeys:
    """Hides the name of one child in the state dict of its parent.

    ``state_dict()`` gives ``backbone.weight`` where it would give ``detector.backbone.weight``, and
    ``load_state_dict`` takes it back; so any checkpointer reads and writes the child's own keys.

    Args:
        module: the parent; hooks are registered on it.
        child: attribute name of the child whose name is hidden.
        own: names of the parent's other children and buffers, whose keys stay as they are.
        ending: added to the child's keys. detectron2 matches pretrained weights by the end of the
            keys (``matching_heuristics``): a second copy of a detector must end differently.
    """

    def __init__(self, module: nn.Module, child: str, own: Sequence[str], ending: str = "") -> None:
        self.child = child
        self.own = tuple(own)
        self.ending = ending
        module._register_state_dict_hook(self._strip)
        # The public names of these hooks came with later releases of torch.
        module._register_load_state_dict_pre_hook(self._restore)
        module.register_load_state_dict_post_hook(self._strip_reported)

    def _strip(
        self, module: nn.Module, state: dict[str, Any], prefix: str, local_metadata: Any
    ) -> None:
        inner = f"{prefix}{self.child}."
        for key in list(state):
            # Popped and put back in turn, which keeps the order of the keys.
            value = state.pop(key)
            if key.startswith(inner):
                key = prefix + key[len(inner) :] + self.ending
            state[key] = value

    def _restore(self, state: dict[str, Any], prefix: str, *_: Any) -> None:
        for key in list(state):
            rest = key[len(prefix) :]
            if key.startswith(prefix) and rest.split(".")[0] not in (*self.own, self.child):
                plain = rest[: len(rest) - len(self.ending)]
                state[f"{prefix}{self.child}.{plain}"] = state.pop(key)

    def _strip_reported(self, module: nn.Module, incompatible: Any) -> None:
        """Report missing and unexpected keys by the names that a checkpoint has."""
        for keys in incompatible:
            keys[:] = [key.replace(f"{self.child}.", "", 1) for key in keys]
