"""`tools/train_net.py` with discriminators whose domain labels are drawn at random (a control).

python -m benchmarks.effects.domain_controls --config-file CONFIG [KEY VALUE ...]
"""

from __future__ import annotations

import runpy
from typing import Any

import torch
from torch import Tensor

from benchmarks.report import ROOT
from drfpn_da.layers import (
    DOMAIN_DISCRIMINATOR_REGISTRY,
    DomainDiscriminator,
    GlobalDiscriminator,
    LocalDiscriminator,
)


class _Shuffled(DomainDiscriminator):
    """Learns domains drawn by lot for each picture, so that it has nothing true to learn."""

    _lots = torch.Generator().manual_seed(0)

    def domain_loss(self, logits: Tensor, domain: int, mask: Any = None) -> Tensor:
        losses = []
        for index in range(len(logits)):
            drawn = int(torch.randint(2, (), generator=self._lots))
            one = None if mask is None else mask[index : index + 1]
            losses.append(super().domain_loss(logits[index : index + 1], drawn, one))
        return torch.stack(losses).mean()


@DOMAIN_DISCRIMINATOR_REGISTRY.register()
class ShuffledLocalDiscriminator(_Shuffled, LocalDiscriminator):
    """:class:`LocalDiscriminator` with shuffled domains."""


@DOMAIN_DISCRIMINATOR_REGISTRY.register()
class ShuffledGlobalDiscriminator(_Shuffled, GlobalDiscriminator):
    """:class:`GlobalDiscriminator` with shuffled domains."""


if __name__ == "__main__":
    runpy.run_path(str(ROOT / "tools" / "train_net.py"), run_name="__main__")
