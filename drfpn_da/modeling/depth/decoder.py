"""A decoder from any backbone's features to disparity at several scales."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from detectron2.config import CfgNode, configurable
from detectron2.layers import ShapeSpec
from torch import Tensor, nn

from .unet import Features, UNetDecoder, unet_arguments


class DepthDecoder(UNetDecoder):
    """A :class:`UNetDecoder` whose finest stages predict a disparity each.

    Args:
        input_shape: channels and stride of each feature; strides are powers of two.
        scales: disparities, at strides 1, 2, 4, ...
        unet: further arguments of :class:`UNetDecoder`.

    Raises:
        ValueError: more scales than stages; or see :class:`UNetDecoder`.
    """

    @configurable
    def __init__(
        self, input_shape: Mapping[str, ShapeSpec], *, scales: int = 4, **unet: Any
    ) -> None:
        super().__init__(input_shape, **unet)
        if not 1 <= scales <= len(self.strides):
            raise ValueError(
                f"MODEL.DEPTH.SCALES is {scales}; features of stride {2 * self.strides[0]} allow 1 "
                f"to {len(self.strides)}"
            )
        self.scales = scales
        self.predictors = nn.ModuleDict(
            {str(s): self.plain_convolution(self.widths[s], 1) for s in self.strides[-scales:]}
        )

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: Mapping[str, ShapeSpec]) -> dict[str, Any]:
        """Read ``MODEL.DEPTH``; see :func:`unet_arguments` for errors."""
        return {**unet_arguments(cfg, input_shape), "scales": cfg.MODEL.DEPTH.SCALES}

    def forward(self, features: Features) -> list[Tensor]:
        """Return disparities (N, 1, H / s, W / s) in [0, 1], stride s = 1 first, in float32."""
        return self.finish(self.start(features), features, self.strides)

    def finish(self, x: Tensor, features: Features, strides: list[int]) -> list[Tensor]:
        """Run the last stages, of these strides, and return the disparities, finest first."""
        disparities = []
        for stride in strides:
            x = self.advance(x, features, stride)
            if str(stride) in self.predictors:
                disparities.append(self.predict(x, stride))
        return disparities[::-1]

    def predict(self, x: Tensor, stride: int) -> Tensor:
        """Return the disparity of a stage's output."""
        # Half precision has too few steps between 0 and 1.
        return self.predictors[str(stride)](x).float().sigmoid()
