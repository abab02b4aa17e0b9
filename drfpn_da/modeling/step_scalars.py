"""Scalars that a training step logs from the device, all read in one transfer."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import Callable, NamedTuple, Optional

import torch
from detectron2.utils.events import get_event_storage
from torch import Tensor

Heard = Callable[[dict[str, float]], None]


class _Entry(NamedTuple):
    values: dict[str, Tensor]
    where: Optional[Tensor]
    heard: Optional[Heard]
    scope: str


_WAITING: ContextVar[Optional[list[_Entry]]] = ContextVar("scalars of a step", default=None)


@contextlib.contextmanager
def scalars_read_at_once() -> Iterator[None]:
    """Inside the block, :func:`put_scalars` waits; its end reads everything in one transfer.

    To read one number, the host waits until the device has done all it was given before. A step
    that reads its numbers one by one waits as often. A block inside a block leaves it to that one.
    """
    if _WAITING.get() is not None:
        yield
        return
    waiting: list[_Entry] = []
    token = _WAITING.set(waiting)
    try:
        yield
    finally:
        _WAITING.reset(token)
    _write(waiting)


def put_scalars(
    values: Mapping[str, Tensor], where: Optional[Tensor] = None, heard: Optional[Heard] = None
) -> None:
    """Log tensors of one number, at once or at the end of :func:`scalars_read_at_once`.

    Args:
        values: by the name of the scalar; no gradient is kept.
        where: () bool; False: nothing of this call is logged.
        heard: called with the numbers after they have been logged.
    """
    scope = get_event_storage()._current_prefix  # of detectron2's name_scope, now
    detached = {name: value.detach() for name, value in values.items()}
    entry = _Entry(detached, where, heard, scope)
    waiting = _WAITING.get()
    if waiting is None:
        _write([entry])
    else:
        waiting.append(entry)


def read_with_scalars(tensors: Sequence[Tensor]) -> list[float]:
    """Read tensors of one number, in one transfer with the scalars that wait, which are logged."""
    waiting = _WAITING.get() or []
    entries = waiting[:]
    waiting.clear()
    return _write(entries, tensors)


def _write(entries: list[_Entry], others: Sequence[Tensor] = ()) -> list[float]:
    tensors = [x for e in entries for x in (*e.values.values(), e.where) if x is not None]
    tensors += [x.detach().reshape(()) for x in others]
    if not tensors:
        return []
    kind = torch.float64 if any(x.dtype == torch.float64 for x in tensors) else torch.float32
    numbers = iter(torch.stack([x.to(tensors[0].device, kind) for x in tensors]).tolist())
    for entry in entries:
        found = {name: next(numbers) for name in entry.values}
        if entry.where is not None and not next(numbers):
            continue
        storage = get_event_storage()
        with storage.name_scope(entry.scope) if entry.scope else contextlib.nullcontext():
            for name, number in found.items():
                storage.put_scalar(name, number)
        if entry.heard is not None:
            entry.heard(found)
    return list(numbers)
