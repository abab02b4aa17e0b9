"""Checked access to detectron2's normalisation layers."""

from __future__ import annotations

from typing import Optional

from detectron2.layers import get_norm
from torch import nn


def build_norm(norm: str, channels: int, where: str) -> Optional[nn.Module]:
    """Build ``get_norm(norm, channels)``, or None for "".

    Raises:
        ValueError: the norm does not exist or does not fit the channels; the message names
            ``where`` (the option that asked for it).
    """
    try:
        layer: Optional[nn.Module] = get_norm(norm, channels)
        return layer
    except KeyError as error:
        raise ValueError(
            f"{where}: unknown norm {norm!r}; use '', 'GN', 'BN', 'SyncBN' or 'FrozenBN'"
        ) from error
    except ValueError as error:
        raise ValueError(
            f"{where}: norm {norm!r} does not fit {channels} channels ({error}); "
            "GN needs a multiple of 32: change the channels or choose another norm"
        ) from error
