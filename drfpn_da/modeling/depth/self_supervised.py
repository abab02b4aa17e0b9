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

from ...functional import (
    disparity_to_depth,
    edge_aware_smoothness,
    feature_distance,
    minimum_reprojection,
    normalize_by_mean,
    photometric_error,
    pose_matrix,
    synthesize,
)
from ..teacher import MeanTeacher
from .decoder import DepthDecoder
from .pose import PoseNetwork

#: What a training sample has beside "image": see :class:`drfpn_da.data.SequenceMapper`.
FRAMES = ("previous_image", "image", "next_image")


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
        min_depth: depth of disparity 1.
        max_depth: depth of disparity 0.
        ssim_weight: share of SSIM in the photometric error.
        smoothness_weight: of the finest scale.
        auto_mask: leave out pixels that fit best without warping.
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
        min_depth: float = 0.1,
        max_depth: float = 100.0,
        ssim_weight: float = 0.85,
        smoothness_weight: float = 1e-3,
        auto_mask: bool = True,
        freeze_backbone: bool = False,
        feature_distance_weight: float = 0.0,
        features: Sequence[str] = ("res2", "res3", "res4", "res5"),
    ) -> None:
        super().__init__()
        if not 0 < min_depth < max_depth:
            raise ValueError(
                f"MODEL.DEPTH.MIN_DEPTH {min_depth} and MAX_DEPTH {max_depth}: depths ascend from "
                "above 0"
            )
        self.backbone, self.decoder, self.pose = backbone, decoder, pose
        self.min_depth, self.max_depth = min_depth, max_depth
        self.ssim_weight, self.smoothness_weight = ssim_weight, smoothness_weight
        self.auto_mask, self.freeze_backbone = auto_mask, freeze_backbone
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
            "min_depth": node.MIN_DEPTH,
            "max_depth": node.MAX_DEPTH,
            "ssim_weight": node.SSIM_WEIGHT,
            "smoothness_weight": node.SMOOTHNESS_WEIGHT,
            "auto_mask": node.AUTO_MASK,
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
        return {"disparity": resized, "depth": self._depth(resized)}

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

    def _depth(self, disparity: Tensor) -> Tensor:
        return disparity_to_depth(disparity, self.min_depth, self.max_depth)

    def _losses(self, samples: list[dict[str, Any]]) -> dict[str, Tensor]:
        frames = [self._batch([_seen(x, i) for x in samples]) for i in range(len(FRAMES))]
        images = frames[1]
        features = self.backbone(images.tensor)
        disparities = self.decoder(features)
        before, now, after = (batch.tensor for batch in frames)
        backward, forward = self.pose(before, now), self.pose(now, after)
        self.steps += 1
        generator = torch.Generator(self.device).manual_seed(int(self.steps))
        with torch.autocast(self.device.type, enabled=False):
            # Motion is estimated in temporal order; the way to the earlier frame is the inverse.
            poses = [
                pose_matrix(backward[0], backward[1], invert=True),
                pose_matrix(forward[0], forward[1]),
            ]
            groups = _by_size(images.image_sizes)
            terms = [
                self._view_losses(
                    samples, indices, disparities, [pose[indices] for pose in poses], generator
                )
                for indices in groups
            ]
            shares = torch.tensor([len(g) / len(samples) for g in groups], device=self.device)
            names = ("photometric", "smoothness", "moving")
            mean = {
                n: (torch.stack(values) * shares).sum() for n, values in zip(names, zip(*terms))
            }
            losses = {
                "depth/loss_photometric": mean["photometric"],
                "depth/loss_smoothness": self.smoothness_weight * mean["smoothness"],
            }
            if self.reference is not None:
                with torch.no_grad():
                    held = self.reference.detector(images.tensor)[self._coarsest]
                distance = feature_distance(features[self._coarsest].float(), held.float())
                losses["depth/loss_feature_distance"] = self.feature_distance_weight * distance
        get_event_storage().put_scalar("depth/moving_pixels", float(mean["moving"]))
        return losses

    def _view_losses(
        self,
        samples: list[dict[str, Any]],
        indices: list[int],
        disparities: list[Tensor],
        poses: list[Tensor],
        generator: torch.Generator,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Photometric error, smoothness and share of moving pixels of pictures of one size."""
        previous, target, following = (
            torch.stack([samples[i][key] for i in indices]).to(self.device).float() / 255
            for key in FRAMES
        )
        intrinsics = torch.stack([samples[i]["intrinsics"] for i in indices])
        intrinsics = intrinsics.to(self.device).float()
        height, width = target.shape[-2:]
        padded = disparities[0].shape[-2:]
        sources = (previous, following)
        identity: list[Tensor] = []
        if self.auto_mask:
            identity = [photometric_error(x, target, self.ssim_weight) for x in sources]
        photometric, smoothness, moving = [], [], []
        for scale, disparity in enumerate(disparities):
            disparity = disparity[indices]
            full = F.interpolate(disparity, padded, mode="bilinear", align_corners=False)
            depth = self._depth(full[..., :height, :width])
            warped = [
                photometric_error(synthesize(x, depth, intrinsics, p), target, self.ssim_weight)
                for x, p in zip(sources, poses)
            ]
            error, moves = minimum_reprojection(warped, identity, generator)
            photometric.append(error.mean())
            moving.append(moves.float().mean())
            size = (max(2, height >> scale), max(2, width >> scale))
            small = F.interpolate(target, size, mode="area")
            normalized = normalize_by_mean(disparity[..., : size[0], : size[1]])
            smoothness.append(edge_aware_smoothness(normalized, small) / 2**scale)
        means = [torch.stack(values).mean() for values in (photometric, smoothness, moving)]
        return means[0], means[1], means[2]


def _seen(sample: dict[str, Any], frame: int) -> Tensor:
    """A frame as the networks see it."""
    picture: Tensor = sample["jittered"][frame] if "jittered" in sample else sample[FRAMES[frame]]
    return picture


def _by_size(sizes: Sequence[tuple[int, int]]) -> list[list[int]]:
    """Indices of pictures of the same size: padding must enter no loss."""
    groups: dict[tuple[int, int], list[int]] = {}
    for index, size in enumerate(sizes):
        groups.setdefault(size, []).append(index)
    return list(groups.values())


def _start_reference(model: nn.Module, incompatible: Any) -> None:
    """Hold the backbone's features as loaded when a checkpoint had no reference."""
    reference: Optional[MeanTeacher] = model.reference  # type: ignore[assignment]
    if reference is not None and any("reference." in key for key in incompatible.missing_keys):
        reference.copy_from(model.backbone)  # type: ignore[arg-type]
