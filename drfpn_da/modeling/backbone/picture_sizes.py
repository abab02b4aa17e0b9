"""The sizes of the pictures in a padded batch, for a backbone that is given its tensor alone."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Optional

import torch
from detectron2.structures import ImageList
from torch import Tensor

_SIZES = "_drfpn_da_picture_sizes"
_INSTALLED = "_drfpn_da_notes_sizes"


def note_picture_sizes() -> None:
    """Let every new ``ImageList`` note its picture sizes on its tensor, too.

    detectron2's meta-architectures, and those of others, batch pictures as an ``ImageList`` and
    give ``images.tensor`` to the backbone, which cannot see the rest. The note belongs to that very
    tensor: whatever else passes the backbone has none. Nothing is changed where this was called
    before, and nothing in scripted code.
    """
    original = ImageList.__init__
    if hasattr(original, _INSTALLED):
        return

    @functools.wraps(original)
    def note(self: ImageList, tensor: Tensor, image_sizes: list[tuple[int, int]]) -> None:
        original(self, tensor, image_sizes)
        if not torch.compiler.is_compiling():
            setattr(tensor, _SIZES, image_sizes)

    setattr(note, _INSTALLED, True)
    ImageList.__init__ = note


def noted_picture_sizes(batch: Tensor) -> Optional[list[tuple[int, int]]]:
    """Return (height, width) of the pictures in the tensor of an ``ImageList``.

    None for a tensor of another origin, and while a model is compiled: a graph would be compiled
    for each combination of sizes.
    """
    if torch.compiler.is_compiling():
        return None
    sizes: Optional[Sequence[Sequence[int]]] = getattr(batch, _SIZES, None)
    return None if sizes is None else [(int(height), int(width)) for height, width in sizes]
