"""Spatial refinement block of DRFPN (arXiv 2012.01733, section 3.1)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from detectron2.layers import Conv2d
from torch import Tensor, nn

from ..functional import add_upsampled, conv3x3_to_few, offset_warp

_WEIGHT_ACTIVATIONS = {"none": nn.Identity, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh}


class SpatialRefinementBlock(nn.Module):
    """Up-sample a coarse map twice: as it is, and warped by offsets learnt from both maps.

    ``out = up(high) + weight * warp(high, offset)``. Offset and weight are predicted from the two
    reduced maps; the coarse one is brought to the fine size by a transposed convolution, cropped if
    that side is odd.

    Args:
        channels: channels of both maps.
        reduction: the inner width is ``channels // reduction``.
        align_grid: see :func:`drfpn_da.functional.build_sampling_grid`.
        padding_mode: "border" or "zeros".
        weight_act: activation of the weight: "tanh", "sigmoid", or "none" as the authors have it:
            the weights of all levels multiply, so that without a bound training can diverge.
    """

    def __init__(
        self,
        channels: int,
        reduction: int = 2,
        align_grid: bool = True,
        padding_mode: str = "border",
        weight_act: str = "tanh",
    ) -> None:
        super().__init__()
        if weight_act not in _WEIGHT_ACTIVATIONS:
            raise ValueError(
                f"MODEL.DRFPN.SRB.WEIGHT_ACT {weight_act!r} is none of "
                f"{sorted(_WEIGHT_ACTIVATIONS)}"
            )
        if padding_mode not in ("border", "zeros"):
            raise ValueError(
                f"MODEL.DRFPN.SRB.PADDING_MODE {padding_mode!r} is neither 'border' nor 'zeros'"
            )
        if not 1 <= reduction <= channels:
            raise ValueError(
                f"MODEL.DRFPN.SRB.REDUCTION {reduction} must lie between 1 and "
                f"the {channels} channels"
            )
        inner = channels // reduction
        self.align_grid = align_grid
        self.padding_mode = padding_mode
        self.reduce_low = Conv2d(channels, inner, 1, bias=False)
        self.reduce_high = Conv2d(channels, inner, 1, bias=False)
        self.deconv = nn.ConvTranspose2d(inner, inner, 3, stride=2, padding=1, output_padding=1)
        self.offset = Conv2d(2 * inner, 2, 3, padding=1, bias=False)
        self.weight_reduce = Conv2d(2 * inner, inner, 1, bias=False)
        self.weight_predict = Conv2d(inner, 1, 3, padding=1)
        self.weight_act = _WEIGHT_ACTIVATIONS[weight_act]()

    def init_identity(self) -> None:
        """Zero offset and weight, so that the block starts as plain up-sampling.

        With ``weight_act="sigmoid"`` the weight then starts at 0.5.
        """
        for predictor in (self.offset, self.weight_predict):
            nn.init.zeros_(predictor.weight)
        nn.init.zeros_(self.weight_predict.bias)

    def predict(self, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        """Predict the offset (N, 2, H, W) and the weight (N, 1, H, W) from both maps."""
        fine = self.reduce_low(low)
        coarse = self.deconv(self.reduce_high(high))
        if coarse.shape[-2:] != fine.shape[-2:]:
            coarse = coarse[..., : fine.shape[-2], : fine.shape[-1]]
        both = torch.cat((coarse, fine), dim=1)
        hidden = F.relu(self.weight_reduce(both))
        weight = conv3x3_to_few(hidden, self.weight_predict.weight, self.weight_predict.bias)
        return conv3x3_to_few(both, self.offset.weight), self.weight_act(weight)

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        """Refine ``high`` (N, C, h, w) to the size of ``low``: H in {2h - 1, 2h}, W likewise."""
        return self._add_warped(F.interpolate(high, size=low.shape[-2:], mode="nearest"), low, high)

    def merge(self, low: Tensor, high: Tensor) -> Tensor:
        """Return ``low + forward(low, high)``, without holding the up-sampled map by itself."""
        return self._add_warped(add_upsampled(low, high), low, high)

    def _add_warped(self, base: Tensor, low: Tensor, high: Tensor) -> Tensor:
        offset, weight = self.predict(low, high)
        warped = offset_warp(high, offset, self.align_grid, self.padding_mode)
        return torch.addcmul(base, warped, weight.to(warped.dtype))
