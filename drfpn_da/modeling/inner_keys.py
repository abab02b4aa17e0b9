"""A wrapper whose checkpoints, and names, look like those of what it wraps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Optional

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
        self._prefix = ""
        module._hidden_child = child  # type: ignore[assignment]
        module._register_state_dict_hook(self._strip)
        # The public names of these hooks came with later releases of torch.
        module._register_load_state_dict_pre_hook(self._restore, with_module=True)
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
        # Versions of the modules: those that change their format read old states by them.
        versions = getattr(state, "_metadata", None) or {}
        for path in [path for path in versions if f"{path}.".startswith(inner)]:
            versions[_module(prefix + path[len(inner) :])] = versions.pop(path)

    def _restore(self, module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
        self._prefix = prefix
        child = getattr(module, self.child)
        known = {f"{prefix}{key}{self.ending}" for key in child.state_dict()}
        # The detector may have a child of the same name as one of ours.
        others = tuple(f"{prefix}{name}." for name in (*self.own, self.child))
        for key in list(state):
            if not key.startswith(prefix) or (key not in known and f"{key}.".startswith(others)):
                continue
            rest = key[len(prefix) : len(key) - len(self.ending)]
            state[f"{prefix}{self.child}.{rest}"] = state.pop(key)
        # torch hands them to the outermost module only, and the caller's state has the same dict.
        versions = getattr(state, "_metadata", None) or {}
        saved = dict(versions)
        for path, plain in _paths(module, prefix, prefix):
            if plain in saved:
                versions[path] = saved[plain]

    def _strip_reported(self, module: nn.Module, incompatible: Any) -> None:
        """Report missing and unexpected keys by the names that a checkpoint has."""
        inner = f"{self._prefix}{self.child}."
        for keys in incompatible:
            keys[:] = [
                self._prefix + key[len(inner) :] + self.ending if key.startswith(inner) else key
                for key in keys
            ]


class InnerNames(nn.Module):
    """A module whose parameters, buffers and modules have the names that its checkpoint has.

    The child that :class:`InnerKeys` hides, and what is in it, goes by its own names: rates and
    decays that others choose by a parameter's name stay what they are. An ``ending`` is of
    checkpoints alone. What the child has as an attribute, this module answers too.
    """

    def __getattr__(self, name: str) -> Any:
        """Return what the hidden child has under this name, such as ``backbone``."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            hidden = self.__dict__.get("_hidden_child", name)
            if name == hidden or name.startswith("__"):  # not built yet, or of the type
                raise
            return getattr(getattr(self, hidden), name)

    def named_modules(
        self, memo: Optional[set[nn.Module]] = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, nn.Module]]:
        """Yield name and module as torch does, the hidden child under the name of this one."""
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        hidden = getattr(self, "_hidden_child", None)
        for name, child in self._modules.items():
            if child is not None:
                path = prefix if name == hidden else f"{prefix}.{name}" if prefix else name
                yield from child.named_modules(memo, path, remove_duplicate)


def _module(path: str) -> str:
    return path.rstrip(".")


def _paths(module: nn.Module, prefix: str, plain: str) -> Iterator[tuple[str, str]]:
    """Yield the path of each module, and the one that states have."""
    yield _module(prefix), _module(plain)
    hidden = getattr(module, "_hidden_child", None)
    for name, child in module.named_children():
        yield from _paths(child, f"{prefix}{name}.", plain if name == hidden else f"{plain}{name}.")
