"""``UNetSemSegHead``: the depth decoder's U-Net, for semantic segmentation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional

import torch.nn.functional as F
from detectron2.config import CfgNode, configurable
from detectron2.layers import ShapeSpec
from detectron2.modeling import SEM_SEG_HEADS_REGISTRY
from torch import Tensor, nn

from ...compat import register_if_free
from ...node_arguments import arguments
from ..depth.unet import Features, UNetDecoder, unet_arguments


@register_if_free(SEM_SEG_HEADS_REGISTRY)
class UNetSemSegHead(nn.Module):
    """The U-Net of ``SelfSupervisedDepth`` with a classifier at full resolution.

    Transfer (arXiv 2012.10782, section 3.2): ``decoder`` has the tensors of a depth network's
    decoder, from which it starts with ``MODEL.WEIGHTS: drfpn-da://transfer/<checkpoint>``.

    Args:
        input_shape: channels and stride of each feature; strides are powers of two.
        num_classes: classes.
        conv_dims: channels of a projection with ELU between decoder and classifier; 0: none.
        loss_weight: of the cross-entropy.
        ignore_value: label of pixels that do not count.
        unet: further arguments of :class:`UNetDecoder`.

    Attributes:
        in_features: names of the features that are used.
    """

    @configurable
    def __init__(
        self,
        input_shape: Mapping[str, ShapeSpec],
        *,
        num_classes: int,
        conv_dims: int = 64,
        loss_weight: float = 1.0,
        ignore_value: int = 255,
        **unet: Any,
    ) -> None:
        super().__init__()
        self.in_features = list(input_shape)
        self.ignore_value, self.loss_weight = ignore_value, loss_weight
        self.decoder = UNetDecoder(input_shape, **unet)
        width = self.decoder.widths[1]
        self.project: nn.Module = (
            nn.Sequential(nn.Conv2d(width, conv_dims, 1), nn.ELU()) if conv_dims else nn.Identity()
        )
        self.predictor = nn.Conv2d(conv_dims or width, num_classes, 1)

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: Mapping[str, ShapeSpec]) -> dict[str, Any]:
        """Read ``MODEL.DEPTH`` for the decoder, ``MODEL.SEM_SEG_HEAD`` for the rest."""
        node = cfg.MODEL.SEM_SEG_HEAD
        return {
            **unet_arguments(cfg, input_shape),
            **arguments(node, "num_classes", "loss_weight", "ignore_value"),
            "conv_dims": node.CONVS_DIM,
        }

    def forward(
        self, features: Features, targets: Optional[Tensor] = None
    ) -> tuple[Optional[Tensor], dict[str, Tensor]]:
        """Segment, as detectron2's semantic heads do.

        Args:
            features: of the backbone.
            targets: (N, H, W) labels of the padded batch, in training.

        Returns:
            None and losses in training; else (N, classes, H, W) logits and nothing. The logits may
            be a little larger than the pictures where strides do not divide their size.
        """
        if self.training:
            assert targets is not None
            return None, self.losses(features, targets)
        return self.logits(features), {}

    def logits(self, features: Features) -> Tensor:
        """Return the (N, classes, H, W) logits."""
        return self.classify(self.decoder.start(features), features, self.decoder.strides)

    def losses(self, features: Features, targets: Tensor) -> dict[str, Tensor]:
        """Return ``loss_sem_seg``."""
        return {"loss_sem_seg": self.loss_weight * self.entropy(self.logits(features), targets)}

    def classify(self, x: Tensor, features: Features, strides: list[int]) -> Tensor:
        """Run the last stages, of these strides, and the classifier."""
        for stride in strides:
            x = self.decoder.advance(x, features, stride)
        logits: Tensor = self.predictor(self.project(x))
        return logits

    def entropy(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the mean cross-entropy over labelled pixels; 0 if there is none."""
        height, width = targets.shape[-2:]
        summed = F.cross_entropy(
            logits[..., :height, :width].float(),
            targets,
            ignore_index=self.ignore_value,
            reduction="sum",
        )
        return summed / (targets != self.ignore_value).sum().clamp(min=1)
