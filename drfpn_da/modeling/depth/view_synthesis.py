"""The losses of depth from video: a frame rendered from its neighbours through predicted depth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from detectron2.config import CfgNode
from torch import Tensor

from ...functional import (
    disparity_to_depth,
    edge_aware_smoothness,
    minimum_reprojection,
    normalize_by_mean,
    photometric_error,
    pose_matrix,
    synthesize,
)
from ...functional.generators import step_generator
from ...node_arguments import arguments

#: What a training sample has, in temporal order: see :class:`drfpn_da.data.SequenceMapper`.
FRAMES = ("previous_image", "image", "next_image")

Motion = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class ViewSynthesis:
    """monodepth2's losses (arXiv 1806.01260, section 3) of samples of any sizes.

    Attributes:
        min_depth: depth of disparity 1.
        max_depth: depth of disparity 0.
        ssim_weight: share of SSIM in the photometric error.
        smoothness_weight: of the finest scale.
        auto_mask: leave out pixels that fit best without warping.

    Raises:
        ValueError: depths do not ascend from above 0.
    """

    min_depth: float = 0.1
    max_depth: float = 100.0
    ssim_weight: float = 0.85
    smoothness_weight: float = 1e-3
    auto_mask: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.min_depth < self.max_depth:
            raise ValueError(
                f"MODEL.DEPTH.MIN_DEPTH {self.min_depth} and MAX_DEPTH {self.max_depth}: depths "
                "ascend from above 0"
            )

    @classmethod
    def from_config(cls, cfg: CfgNode) -> ViewSynthesis:
        """Read ``MODEL.DEPTH``."""
        names = ("min_depth", "max_depth", "smoothness_weight", "auto_mask")
        return cls(**arguments(cfg.MODEL.DEPTH, *names))

    def depth(self, disparity: Tensor) -> Tensor:
        """Return the depth of disparity in [0, 1]."""
        return disparity_to_depth(disparity, self.min_depth, self.max_depth)

    def losses(
        self,
        samples: Sequence[dict[str, Any]],
        disparities: Sequence[Tensor],
        motions: tuple[Motion, Motion],
        step: int,
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Return the losses and the share of pixels that move, in float32.

        Args:
            samples: with the frames of :data:`FRAMES`, uint8 and of one size, and "intrinsics".
            disparities: (N, 1, H / s, W / s) of the padded batch, finest first.
            motions: rotation and translation, (N, 3) each, from the earlier frame to this one, and
                from this one to the later.
            step: of the noise that decides ties; see :func:`step_generator`.
        """
        device = disparities[0].device
        generator = step_generator(step, "ties", device)
        with torch.autocast(device.type, enabled=False):
            # Motion is estimated in temporal order; the way to the earlier frame is the inverse.
            poses = [pose_matrix(*motions[0], invert=True), pose_matrix(*motions[1])]
            groups = _by_size([tuple(x["image"].shape[-2:]) for x in samples])
            terms = [
                self.of_one_size(samples, indices, disparities, _rows(poses, indices), generator)
                for indices in groups
            ]
            shares = [len(indices) / len(samples) for indices in groups]
            photometric, smoothness, moving = (
                torch.stack([x * share for x, share in zip(values, shares)]).sum()
                for values in zip(*terms)
            )
        losses = {
            "loss_photometric": photometric,
            "loss_smoothness": self.smoothness_weight * smoothness,
        }
        return losses, moving

    def of_one_size(
        self,
        samples: Sequence[dict[str, Any]],
        indices: list[int],
        disparities: Sequence[Tensor],
        poses: Sequence[Tensor],
        generator: torch.Generator,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Photometric error, smoothness and share of moving pixels of samples of one size.

        Args:
            samples: the batch.
            indices: of the samples of that size.
            disparities: of the batch.
            poses: (N, 4, 4) of these samples, to the earlier frame and to the later.
            generator: of the noise that decides ties.
        """
        samples, disparities = [samples[i] for i in indices], _rows(disparities, indices)
        device = disparities[0].device
        previous, target, following = (
            torch.stack([x[key] for x in samples]).to(device, non_blocking=True).float() / 255
            for key in FRAMES
        )
        intrinsics = torch.stack([x["intrinsics"] for x in samples])
        intrinsics = intrinsics.to(device, non_blocking=True).float()
        height, width = target.shape[-2:]
        padded = disparities[0].shape[-2:]
        sources = (previous, following)
        identity: list[Tensor] = []
        if self.auto_mask:
            identity = [photometric_error(x, target, self.ssim_weight) for x in sources]
        full = [F.interpolate(x, padded, mode="bilinear", align_corners=False) for x in disparities]
        depths = [self.depth(x[..., :height, :width]) for x in full]
        views = [(x, depth, pose) for depth in depths for x, pose in zip(sources, poses)]
        # A GPU's time is that of the launches: all at once. A CPU's cache holds one at a time.
        portions = [views] if device.type == "cuda" else [[view] for view in views]
        errors = [x for some in portions for x in self._errors(some, intrinsics, target)]
        photometric, smoothness, moving = [], [], []
        for scale, disparity in enumerate(disparities):
            warped = errors[2 * scale : 2 * scale + 2]
            error, moves = minimum_reprojection(warped, identity, generator)
            photometric.append(error.mean())
            moving.append(moves.float().mean())
            size = (max(2, height >> scale), max(2, width >> scale))
            small = F.interpolate(target, size, mode="area")
            normalized = normalize_by_mean(disparity[..., : size[0], : size[1]])
            smoothness.append(edge_aware_smoothness(normalized, small) / 2**scale)
        means = [torch.stack(values).mean() for values in (photometric, smoothness, moving)]
        return means[0], means[1], means[2]

    def _errors(
        self, views: Sequence[tuple[Tensor, Tensor, Tensor]], intrinsics: Tensor, target: Tensor
    ) -> Sequence[Tensor]:
        """Photometric errors (N, 1, H, W) of views: neighbour, depth and pose of each."""
        source, depth, pose = (torch.cat(values) for values in zip(*views))
        count = len(views)
        warped = synthesize(source, depth, intrinsics.repeat(count, 1, 1), pose)
        targets = target.repeat(count, 1, 1, 1)
        return photometric_error(warped, targets, self.ssim_weight).chunk(count)


def _rows(maps: Sequence[Tensor], indices: list[int]) -> list[Tensor]:
    """Return these rows of each tensor."""
    if len(indices) == len(maps[0]):
        return list(maps)
    rows = torch.tensor(indices).to(maps[0].device, non_blocking=True)
    return [one.index_select(0, rows) for one in maps]


def _by_size(sizes: Sequence[tuple[int, ...]]) -> list[list[int]]:
    """Indices of pictures of the same size: padding must enter no loss."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for index, size in enumerate(sizes):
        groups.setdefault(size, []).append(index)
    return list(groups.values())
