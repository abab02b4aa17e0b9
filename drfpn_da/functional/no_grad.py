"""Passes without gradients beside passes with them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch


@contextlib.contextmanager
def without_gradients() -> Iterator[None]:
    """``torch.no_grad()`` for passes within a training step; also a decorator.

    Autocast keeps the low-precision copy of a weight until its outermost block ends. Up to torch
    2.8 a copy that was made under ``no_grad`` is kept as well: the same weight, used with gradients
    later in the block, would get none. Inside this block no copy is kept.
    """
    kept = torch.is_autocast_cache_enabled()
    torch.set_autocast_cache_enabled(False)
    try:
        with torch.no_grad():
            yield
    finally:
        torch.set_autocast_cache_enabled(kept)
