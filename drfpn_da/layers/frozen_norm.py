"""Frozen batch norm inside the convolution before it."""

from __future__ import annotations

import torch.nn.functional as F
from detectron2.layers import FrozenBatchNorm2d
from torch import Tensor, nn


class FoldedNorm(FrozenBatchNorm2d):
    """Holds the statistics of a frozen norm that :class:`FoldedConv2d` applies."""

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x``: the convolution has normalised it."""
        return x


class FoldedConv2d(nn.Conv2d):
    """Convolution and the frozen norm behind it in one operation.

    Equal but for rounding to ``norm(conv(x))``, whose two passes over the whole map, in either
    direction, it spares. The weight that is trained and saved stays that of the convolution.

    Args:
        conv: without bias; its weight is shared.
        norm: a :class:`FoldedNorm` elsewhere in the model, whose values may still change.
    """

    def __init__(self, conv: nn.Conv2d, norm: FrozenBatchNorm2d) -> None:
        super().__init__(
            conv.in_channels,
            conv.out_channels,
            conv.kernel_size,  # type: ignore[arg-type]
            conv.stride,  # type: ignore[arg-type]
            conv.padding,  # type: ignore[arg-type]
            conv.dilation,  # type: ignore[arg-type]
            conv.groups,
            bias=False,
        )
        self.weight = conv.weight
        self._norm = (norm,)  # in a tuple, so that it is no child of this module too

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) as convolution and norm would."""
        (norm,) = self._norm
        scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
        shift = norm.bias - norm.running_mean * scale
        # Flat, so that the gradient is laid out as the weight, as data-parallel training expects,
        # whatever the layout that the convolution works in.
        weight = (self.weight.flatten(1) * scale[:, None]).view_as(self.weight)
        return F.conv2d(x, weight, shift, self.stride, self.padding, self.dilation, self.groups)


def fold_frozen_norms(model: nn.Module) -> None:
    """Fold each frozen norm that follows a convolution without bias in an ``nn.Sequential``.

    Names of parameters and buffers stay.
    """
    for parent in list(model.modules()):
        children = list(parent.named_children()) if isinstance(parent, nn.Sequential) else []
        for (name, conv), (_, norm) in zip(children, children[1:]):
            if type(conv) is not nn.Conv2d or type(norm) is not FrozenBatchNorm2d:
                continue
            if conv.bias is None:
                norm.__class__ = FoldedNorm  # with all buffers, whatever this detectron2 keeps
                setattr(parent, name, FoldedConv2d(conv, norm))
