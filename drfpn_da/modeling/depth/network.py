"""Base of depth networks: a backbone, a decoder, and prediction from one image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Optional

import torch
import torch.nn.functional as F
from detectron2.config import CfgNode
from detectron2.modeling import build_backbone
from detectron2.modeling.backbone import Backbone
from detectron2.structures import ImageList
from torch import Tensor, nn

from .decoder import DepthDecoder
from .view_synthesis import ViewSynthesis


class DepthNetwork(nn.Module):
    """Predicts disparity from one picture; subclasses learn it.

    In evaluation a sample has "image", and "height" and "width" of the output if they differ.
    Returned is for each ``{"disparity": (h, w) in [0, 1], "depth": (h, w)}``.

    Args:
        backbone: any detectron2 backbone.
        decoder: from its features to disparities.
        pixel_mean: of ``INPUT.FORMAT``'s channels.
        pixel_std: of ``INPUT.FORMAT``'s channels.
        synthesis: has the range of depth.
        features: names for the decoder.
    """

    pixel_mean: Tensor
    pixel_std: Tensor

    def __init__(
        self,
        *,
        backbone: Backbone,
        decoder: DepthDecoder,
        pixel_mean: Sequence[float],
        pixel_std: Sequence[float],
        synthesis: Optional[ViewSynthesis] = None,
        features: Sequence[str] = ("res2", "res3", "res4", "res5"),
    ) -> None:
        super().__init__()
        self.backbone, self.decoder = backbone, decoder
        self.synthesis = synthesis or ViewSynthesis()
        self.head_in_features = list(features)
        self.register_buffer("pixel_mean", torch.tensor(pixel_mean).view(-1, 1, 1), False)
        self.register_buffer("pixel_std", torch.tensor(pixel_std).view(-1, 1, 1), False)

    @classmethod
    def network_arguments(cls, cfg: CfgNode, **decoder: Any) -> dict[str, Any]:
        """Return the arguments of this class by ``MODEL.DEPTH``, and the pixel statistics.

        Args:
            cfg: the whole config.
            decoder: arguments of :class:`DepthDecoder` other than the config's.
        """
        backbone = build_backbone(cfg)
        built = {**DepthDecoder.from_config(cfg, backbone.output_shape()), **decoder}
        return {
            "backbone": backbone,
            "decoder": DepthDecoder(**built),
            "pixel_mean": cfg.MODEL.PIXEL_MEAN,
            "pixel_std": cfg.MODEL.PIXEL_STD,
            "synthesis": ViewSynthesis.from_config(cfg),
            "features": cfg.MODEL.DEPTH.IN_FEATURES,
        }

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.pixel_mean.device

    def forward(self, batched_inputs: list[dict[str, Any]]) -> Any:
        """Return losses in training, else predictions; see the class."""
        if self.training:
            return self.losses(batched_inputs)
        images = self.preprocess_image(batched_inputs)
        disparity = self.decoder(self.backbone(images.tensor))[0]
        return [
            self._prediction(one, size, sample)
            for one, size, sample in zip(disparity, images.image_sizes, batched_inputs)
        ]

    def losses(self, samples: list[dict[str, Any]]) -> dict[str, Tensor]:
        """Return the losses of training samples by name."""
        raise NotImplementedError

    def _prediction(
        self, disparity: Tensor, size: tuple[int, int], sample: dict[str, Any]
    ) -> dict[str, Tensor]:
        wanted = (sample.get("height", size[0]), sample.get("width", size[1]))
        cropped = disparity[None, :, : size[0], : size[1]]
        resized = F.interpolate(cropped, wanted, mode="bilinear", align_corners=False)[0, 0]
        return {"disparity": resized, "depth": self.synthesis.depth(resized)}

    def preprocess_image(self, batched_inputs: Sequence[dict[str, Any]]) -> ImageList:
        """Normalise and pad pictures as inference does; features are measured on the same."""
        return self.batch([x["image"] for x in batched_inputs])

    def batch(self, pictures: Sequence[Tensor]) -> ImageList:
        """Normalise pictures and pad them to a size that all strides divide."""
        normalized = [(x.to(self.device) - self.pixel_mean) / self.pixel_std for x in pictures]
        divisor = max(self.backbone.size_divisibility, 2 * max(self.decoder.strides))
        return ImageList.from_tensors(
            normalized, divisor, padding_constraints=self.backbone.padding_constraints
        )
