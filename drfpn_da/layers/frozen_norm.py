"""Frozen batch norm inside the convolution before it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from detectron2.layers import FrozenBatchNorm2d
from torch import Tensor, nn

from .kept import Kept


class FoldedNorm(FrozenBatchNorm2d):
    """Holds the statistics of a frozen norm that :class:`FoldedConv2d` applies."""

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x``: the convolution has normalised it."""
        return x


class FoldedConv2d(nn.Conv2d):
    """Convolution and the frozen norm behind it in one operation.

    Equal but for rounding to ``norm(conv(x))``, whose two passes over the whole map, in either
    direction, it spares. The weight that is trained and saved stays that of the convolution. Scale
    and shift of the norm are computed once, the folded weight too where it needs no gradient.

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
        self._affine, self._folded = Kept(), Kept()

    def train(self, mode: bool = True) -> FoldedConv2d:
        """Change the mode and forget the folded weight.

        Optimisers that write through ``.data`` do so between two changes of the mode.
        """
        self._folded.forget()
        return super().train(mode)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) as convolution and norm would."""
        (norm,) = self._norm
        statistics = norm.weight, norm.bias, norm.running_mean, norm.running_var
        scale, shift = self._affine.get(statistics, self._scale_and_shift)
        if self.training or (self.weight.requires_grad and torch.is_grad_enabled()):
            weight = self._fold(scale)
        else:
            weight = self._folded.get((self.weight, scale), lambda: self._fold(scale))
        return F.conv2d(x, weight, shift, self.stride, self.padding, self.dilation, self.groups)

    def _scale_and_shift(self) -> tuple[Tensor, Tensor]:
        (norm,) = self._norm
        scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
        return scale, norm.bias - norm.running_mean * scale

    def _fold(self, scale: Tensor) -> Tensor:
        # Flat, so that the gradient is laid out as the weight, as data-parallel training expects,
        # whatever the layout that the convolution works in.
        return (self.weight.flatten(1) * scale[:, None]).view_as(self.weight)


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
                setattr(parent, name, FoldedConv2d(conv, norm).train(conv.training))
