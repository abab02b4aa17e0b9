"""``SelfSupervisedDepth``: depth from neighbouring frames of a video, as a meta-architecture."""

from __future__ import annotations

from typing import Any, Optional

import torch
from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY
from torch import Tensor, nn

from ...functional import feature_distance
from ...functional.no_grad import without_gradients
from ...node_arguments import arguments
from ..step_scalars import put_scalars
from ..teacher import MeanTeacher
from .network import DepthNetwork
from .pose import PoseNetwork
from .view_synthesis import FRAMES


@META_ARCH_REGISTRY.register()
class SelfSupervisedDepth(DepthNetwork):
    """Learns disparity by rendering a frame from its neighbours (monodepth2, arXiv 1806.01260).

    In training a sample has "image", "previous_image" and "next_image", (3, H, W) of one size,
    "intrinsics", (3, 3) of that size, and optionally "jittered", (3, 3, H, W), the frames in
    temporal order as the networks shall see them. Returned is a dict of losses in float32.

    In evaluation it is a :class:`DepthNetwork`; the unit of depth is unknown, and the pose network
    is not used.

    Args:
        pose: motion between frames.
        freeze_backbone: train the decoder and the pose network alone.
        feature_distance_weight: of the distance from the coarsest features as loaded; 0: off.
        network: arguments of :class:`DepthNetwork`; ``synthesis`` has the losses, too.
    """

    #: See :class:`drfpn_da.checkpoint.PredictionCheckpointer`.
    training_parts = ("pose", "reference")
    steps: Tensor

    @configurable
    def __init__(
        self,
        *,
        pose: PoseNetwork,
        freeze_backbone: bool = False,
        feature_distance_weight: float = 0.0,
        **network: Any,
    ) -> None:
        super().__init__(**network)
        self.pose, self.freeze_backbone = pose, freeze_backbone
        self.feature_distance_weight = feature_distance_weight
        shapes = self.backbone.output_shape()
        self._coarsest = max(self.head_in_features, key=lambda name: shapes[name].stride)
        # Seeds the noise that decides ties, so that a resumed run draws the same.
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))
        if freeze_backbone:
            self.backbone.requires_grad_(False)
        # A teacher that never follows: the features as they were loaded.
        self.reference = MeanTeacher(self.backbone) if feature_distance_weight else None
        self.register_load_state_dict_post_hook(_start_reference)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Read ``MODEL.DEPTH``, the backbone and the pixel statistics."""
        return {
            **cls.network_arguments(cfg),
            "pose": PoseNetwork(cfg),
            **arguments(cfg.MODEL.DEPTH, "freeze_backbone", "feature_distance_weight"),
        }

    def train(self, mode: bool = True) -> SelfSupervisedDepth:
        """A frozen backbone stays in evaluation mode."""
        super().train(mode)
        if self.freeze_backbone:
            self.backbone.eval()
        return self

    def losses(self, samples: list[dict[str, Any]]) -> dict[str, Tensor]:
        """Return ``depth/loss_*`` of samples with neighbours."""
        frames = [self.batch([_seen(x, i) for x in samples]) for i in range(len(FRAMES))]
        before, now, after = (batch.tensor for batch in frames)
        features = self.backbone(now)
        disparities = self.decoder(features)
        motions = (self.pose(before, now), self.pose(now, after))
        self.steps += 1
        found, moving = self.synthesis.losses(samples, disparities, motions, int(self.steps))
        losses = {f"depth/{name}": loss for name, loss in found.items()}
        if self.reference is not None:
            with without_gradients():
                held = self.reference.detector(now)[self._coarsest]
            distance = feature_distance(features[self._coarsest].float(), held.float())
            losses["depth/loss_feature_distance"] = self.feature_distance_weight * distance
        put_scalars({"depth/moving_pixels": moving})
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
