"""Results that are computed again only when the tensors that they came from change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor


class Kept:
    """The result of a computation, kept as long as the tensors that it came from stay as they are.

    A tensor counts as changed when it is another object, or was written to in place as torch
    records it (not through ``.data``).
    """

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Compute anew the next time."""
        self._sources: tuple[Tensor, ...] = ()
        self._versions: tuple[int, ...] = ()
        self._value: Any = None

    def get(self, sources: Sequence[Tensor], compute: Callable[[], Any]) -> Any:
        """Return ``compute()`` of now, or that of the last call with these very sources.

        A program that is being recorded gets the computation itself, so that it follows the
        sources; tensors of inference mode tell nothing of changes.
        """
        recorded = torch.jit.is_tracing() or torch.compiler.is_compiling()
        if recorded or any(source.is_inference() for source in sources):
            return compute()
        versions = tuple(source._version for source in sources)
        same = len(sources) == len(self._sources) and all(map(_is, sources, self._sources))
        if not same or versions != self._versions:
            with torch.inference_mode(False):  # else no later pass could use it for gradients
                self.put(sources, compute())
        return self._value

    def put(self, sources: Sequence[Tensor], value: Any) -> None:
        """Keep a value that is known without the computation."""
        self._sources, self._value = tuple(sources), value
        self._versions = tuple(source._version for source in sources)

    def __deepcopy__(self, memo: dict[int, Any]) -> Kept:
        return Kept()

    def __reduce__(self) -> tuple[type[Kept], tuple[()]]:
        return Kept, ()


def _is(one: Tensor, other: Tensor) -> bool:
    return one is other
