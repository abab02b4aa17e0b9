"""``MultiTaskSemSegHead``: decoders of segmentation and depth with attention exchange."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch.nn.functional as F
from detectron2.config import CfgNode, configurable
from detectron2.layers import ShapeSpec
from detectron2.modeling import SEM_SEG_HEADS_REGISTRY
from torch import Tensor, nn

from ...compat import register_if_free
from ...layers import AttentionExchange
from ..depth.decoder import DepthDecoder
from ..depth.unet import Features
from ..objective import zero_of
from .unet import UNetSemSegHead


@register_if_free(SEM_SEG_HEADS_REGISTRY)
class MultiTaskSemSegHead(UNetSemSegHead):
    """A :class:`UNetSemSegHead` with a depth decoder beside it (arXiv 2012.10782, section 3.2).

    Both decoders run down to one stride, exchange their features by attention, and go on by
    themselves. What the segmentation decoder knows before the exchange is classified, too (the
    side output). By itself the head segments; its disparities are for the objectives
    ``SelfSupervisedDepth``, which trains them, and ``DepthMix``, which compares them.

    Args:
        input_shape: channels and stride of each feature; strides are powers of two.
        exchange_stride: of the stage after which features are exchanged.
        scales: disparities, at strides 1, 2, 4, ...
        head: further arguments of :class:`UNetSemSegHead`.

    Raises:
        ValueError: no decoder stage but the last has that stride.
    """

    @configurable
    def __init__(
        self,
        input_shape: Mapping[str, ShapeSpec],
        *,
        exchange_stride: int = 4,
        scales: int = 4,
        **head: Any,
    ) -> None:
        super().__init__(input_shape=input_shape, **head)
        of_segmentation = ("num_classes", "conv_dims", "loss_weight", "ignore_value")
        unet = {key: value for key, value in head.items() if key not in of_segmentation}
        strides = self.decoder.strides
        if exchange_stride not in strides[:-1]:
            raise ValueError(
                f"MODEL.MULTI_TASK.EXCHANGE_STRIDE is {exchange_stride}; write one of "
                f"{strides[:-1]}, the strides of the decoder's stages but the last"
            )
        self.depth = DepthDecoder(input_shape=input_shape, scales=scales, **unet)
        cut = strides.index(exchange_stride) + 1
        self._shared, self._own = strides[:cut], strides[cut:]
        width = self.decoder.widths[exchange_stride]
        self.exchange = AttentionExchange(width)
        self.side_predictor = nn.Conv2d(width, self.predictor.out_channels, 1)

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: Mapping[str, ShapeSpec]) -> dict[str, Any]:
        """Read ``MODEL.MULTI_TASK``, and what :class:`UNetSemSegHead` reads."""
        return {
            **super().from_config(cfg, input_shape),
            "exchange_stride": cfg.MODEL.MULTI_TASK.EXCHANGE_STRIDE,
            "scales": cfg.MODEL.DEPTH.SCALES,
        }

    def logits(self, features: Features) -> Tensor:
        """Return the (N, classes, H, W) logits of the final output."""
        segmentation, depths = self._until_exchange(features)
        return self.classify(self.exchange(segmentation, depths[-1])[0], features, self._own)

    def disparities(self, features: Features) -> list[Tensor]:
        """Return disparities (N, 1, H / s, W / s) in [0, 1], stride s = 1 first, in float32.

        Those of coarser stages, and of the exchange's, are predicted before the exchange.
        """
        segmentation, depths = self._until_exchange(features)
        early = [
            self.depth.predict(x, stride)
            for x, stride in zip(depths, self._shared)
            if str(stride) in self.depth.predictors
        ]
        told = self.exchange(segmentation, depths[-1])[1]
        return [*self.depth.finish(told, features, self._own), *early[::-1]]

    def losses(self, features: Features, targets: Tensor) -> dict[str, Tensor]:
        """Return ``loss_sem_seg`` and ``loss_sem_seg_side``, half of the loss weight each."""
        segmentation, depths = self._until_exchange(features)
        side = self.side_predictor(segmentation)
        side = F.interpolate(side, targets.shape[-2:], mode="bilinear", align_corners=False)
        told = self.exchange(segmentation, depths[-1])[0]
        final = self.entropy(self.classify(told, features, self._own), targets)
        half = self.loss_weight / 2
        return {
            "loss_sem_seg": half * final + self._idle(),
            "loss_sem_seg_side": half * self.entropy(side, targets),
        }

    def _until_exchange(self, features: Features) -> tuple[Tensor, list[Tensor]]:
        """Return the segmentation decoder's map and the depth decoder's of each stage so far."""
        segmentation, depth = self.decoder.start(features), self.depth.start(features)
        depths = []
        for stride in self._shared:
            segmentation = self.decoder.advance(segmentation, features, stride)
            depth = self.depth.advance(depth, features, stride)
            depths.append(depth)
        return segmentation, depths

    def _idle(self) -> Tensor:
        """Return a zero of what segmentation does not use.

        ``DistributedDataParallel`` wants every parameter in every step, depth trained or not.
        """
        parts = [self.depth.predictors, self.exchange.to_second]
        parts += [
            stage[str(s)] for s in self._own for stage in (self.depth.before, self.depth.after)
        ]
        return zero_of(p for part in parts for p in part.parameters() if p.requires_grad)
