"""``SelfSupervisedDepth``: depth from neighbouring frames of a video, as a meta-architecture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Optional

import torch
import torch.nn.functional as F
from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY, build_backbone
from detectron2.modeling.backbone import Backbone
from detectron2.structures import ImageList
from detectron2.utils.events import get_event_storage
from torch import Tensor, nn

from ...functional import feature_distance
from ..teacher import MeanTeacher
from .decoder import DepthDecoder
from .pose import PoseNetwork
from .view_synthesis import FRAMES, ViewSynthesis


@META_ARCH_REGISTRY.register()
class SelfSupervisedDepth(nn.Module):
    """Learns disparity by rendering a frame from its neighbours (monodepth2, arXiv 1806.01260).

    In training a sample has "image", "previous_image" and "next_image", (3, H, W) of one size,
    "intrinsics", (3, 3) of that size, and optionally "jittered", (3, 3, H, W), the frames in
    temporal order as the networks shall see them. Returned is a dict of losses in float32.

    In evaluation a sample has "image", and "height" and "width" of the output if they differ.
    Returned is for each ``{"disparity": (h, w) in [0, 1], "depth": (h, w)}``; the unit of depth is
    unknown. The pose network is not used.

    Args:
        backbone: any detectron2 backbone.
        decoder: from its features to disparities.
        pose: motion between frames.
        pixel_mean: of ``INPUT.FORMAT``'s channels.
        pixel_std: of ``INPUT.FORMAT``'s channels.
        synthesis: the losses, and the range of depth.
        freeze_backbone: train the decoder and the pose network alone.
        feature_distance_weight: of the distance from the features as loaded; 0: off.
        features: names for the decoder; the last is the one held by the feature distance.
    """

    steps: Tensor
    pixel_mean: Tensor
    pixel_std: Tensor

    @configurable
    def __init__(
        self,
        *,
        backbone: Backbone,
        decoder: DepthDecoder,
        pose: PoseNetwork,
        pixel_mean: Sequence[float],
        pixel_std: Sequence[float],
        synthesis: Optional[ViewSynthesis] = None,
        freeze_backbone: bool = False,
        feature_distance_weight: float = 0.0,
        features: Sequence[str] = ("res2", "res3", "res4", "res5"),
    ) -> None:
        super().__init__()
        self.backbone, self.decoder, self.pose = backbone, decoder, pose
        self.synthesis = synthesis or ViewSynthesis()
        self.freeze_backbone = freeze_backbone
        self.feature_distance_weight = feature_distance_weight
        self.head_in_features = list(features)
        self._coarsest = max(features, key=lambda name: backbone.output_shape()[name].stride)
        self.register_buffer("pixel_mean", torch.tensor(pixel_mean).view(-1, 1, 1), False)
        self.register_buffer("pixel_std", torch.tensor(pixel_std).view(-1, 1, 1), False)
        # Seeds the noise that decides ties, so that a resumed run draws the same.
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))
        if freeze_backbone:
            backbone.requires_grad_(False)
        # A teacher that never follows: the features as they were loaded.
        self.reference = MeanTeacher(backbone) if feature_distance_weight else None
        self.register_load_state_dict_post_hook(_start_reference)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Read ``MODEL.DEPTH``, the backbone and the pixel statistics."""
        node = cfg.MODEL.DEPTH
        backbone = build_backbone(cfg)
        return {
            "backbone": backbone,
            "decoder": DepthDecoder(cfg, backbone.output_shape()),
            "pose": PoseNetwork(cfg),
            "pixel_mean": cfg.MODEL.PIXEL_MEAN,
            "pixel_std": cfg.MODEL.PIXEL_STD,
            "synthesis": ViewSynthesis.from_config(cfg),
            "freeze_backbone": node.FREEZE_BACKBONE,
            "feature_distance_weight": node.FEATURE_DISTANCE_WEIGHT,
            "features": node.IN_FEATURES,
        }

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.pixel_mean.device

    def train(self, mode: bool = True) -> SelfSupervisedDepth:
        """A frozen backbone stays in evaluation mode."""
        super().train(mode)
        if self.freeze_backbone:
            self.backbone.eval()
        return self

    def forward(self, batched_inputs: list[dict[str, Any]]) -> Any:
        """Return losses in training, else predictions; see the class."""
        if self.training:
            return self._losses(batched_inputs)
        images = self.preprocess_image(batched_inputs)
        disparity = self.decoder(self.backbone(images.tensor))[0]
        return [
            self._prediction(one, size, sample)
            for one, size, sample in zip(disparity, images.image_sizes, batched_inputs)
        ]

    def _prediction(
        self, disparity: Tensor, size: tuple[int, int], sample: dict[str, Any]
    ) -> dict[str, Tensor]:
        wanted = (sample.get("height", size[0]), sample.get("width", size[1]))
        cropped = disparity[None, :, : size[0], : size[1]]
        resized = F.interpolate(cropped, wanted, mode="bilinear", align_corners=False)[0, 0]
        return {"disparity": resized, "depth": self.synthesis.depth(resized)}

    def preprocess_image(self, batched_inputs: Sequence[dict[str, Any]]) -> ImageList:
        """Normalise and pad pictures as inference does; features are measured on the same."""
        return self._batch([x["image"] for x in batched_inputs])

    def _batch(self, pictures: Sequence[Tensor]) -> ImageList:
        """Normalise pictures and pad them to a size that all strides divide."""
        normalized = [(x.to(self.device) - self.pixel_mean) / self.pixel_std for x in pictures]
        divisor = max(self.backbone.size_divisibility, 2 * max(self.decoder.strides))
        return ImageList.from_tensors(
            normalized, divisor, padding_constraints=self.backbone.padding_constraints
        )

    def _losses(self, samples: list[dict[str, Any]]) -> dict[str, Tensor]:
        frames = [self._batch([_seen(x, i) for x in samples]) for i in range(len(FRAMES))]
        before, now, after = (batch.tensor for batch in frames)
        features = self.backbone(now)
        disparities = self.decoder(features)
        motions = (self.pose(before, now), self.pose(now, after))
        self.steps += 1
        found, moving = self.synthesis.losses(samples, disparities, motions, int(self.steps))
        losses = {f"depth/{name}": loss for name, loss in found.items()}
        if self.reference is not None:
            with torch.no_grad():
                held = self.reference.detector(now)[self._coarsest]
            distance = feature_distance(features[self._coarsest].float(), held.float())
            losses["depth/loss_feature_distance"] = self.feature_distance_weight * distance
        get_event_storage().put_scalar("depth/moving_pixels", float(moving))
        return losses


def _seen(sample: dict[str, Any], frame: int) -> Tensor:
    """A frame as the networks see it."""
    picture: Tensor = sample["jittered"][frame] if "jittered" in sample else sample[FRAMES[frame]]
    return picture


def _start_reference(model: nn.Module, incompatible: Any) -> None:
    """Hold the backbone's features as loaded when a checkpoint had no reference."""
    reference: Optional[MeanTeacher] = model.reference  # type: ignore[assignment]
    if reference is not None and any("reference." in key for key in incompatible.missing_keys):
        reference.copy_from(model.backbone)  # type: ignore[arg-type]
