"""Depth from video beside segmentation: both tasks in one network (arXiv 2012.10782, sec. 3.2)."""

from __future__ import annotations

from typing import Any, Optional

from detectron2.config import CfgNode, configurable
from detectron2.utils.events import get_event_storage
from torch import Tensor, nn

from ..modeling.depth import PoseNetwork, ViewSynthesis
from ..modeling.depth.view_synthesis import FRAMES
from ..modeling.feature_taps import FeatureTaps
from ..modeling.meta_arch.adaptive import preprocess
from ..modeling.objective import OBJECTIVE_REGISTRY, AdaptationStep, Objective
from ..modeling.predicted_disparity import (
    check_predicted_disparity,
    predict_disparities,
    target_disparities,
)
from ..modeling.step_scalars import put_scalars
from ..node_arguments import arguments


@OBJECTIVE_REGISTRY.register()
class SelfSupervisedDepth(Objective):
    """The losses of :class:`drfpn_da.modeling.SelfSupervisedDepth` for a segmentor's own depth.

    Target pictures come with the frames before and after and the camera's intrinsics; labelled
    pictures need neither, unless depth is learnt from them, too: then those that have both add
    their losses, a mean over their batch as those of the target. The pose network is the
    objective's, and evaluation does without it.

    Losses: ``loss_photometric`` and ``loss_smoothness``. Scalars: ``moving_pixels`` of the target,
    and ``labelled_pictures`` that depth was learnt from in this step.

    Args:
        pose: motion between frames.
        synthesis: the losses, and the range of depth.
        weight: of both losses.
        start_iter: idle before it.
        on_labelled: learn from labelled pictures, too (published).
    """

    name = "depth"
    # Target pictures pass the student within this objective (or DepthMix), not before it.
    needs_target = False

    @configurable
    def __init__(
        self,
        *,
        pose: PoseNetwork,
        synthesis: Optional[ViewSynthesis] = None,
        weight: float = 1.0,
        start_iter: int = 0,
        on_labelled: bool = False,
    ) -> None:
        super().__init__()
        self.pose = pose
        self.synthesis = synthesis or ViewSynthesis()
        self.weight, self.start_iter = weight, start_iter
        self.on_labelled = on_labelled

    @classmethod
    def from_config(cls, cfg: CfgNode, features: FeatureTaps) -> dict[str, Any]:
        """Read ``MODEL.DEPTH``."""
        return {
            "pose": PoseNetwork(cfg),
            "synthesis": ViewSynthesis.from_config(cfg),
            **arguments(cfg.MODEL.DEPTH, "weight", "start_iter", "on_labelled"),
        }

    def attach(self, detector: nn.Module, taps: FeatureTaps) -> None:
        """Check the detector.

        Raises:
            ValueError: its head predicts no disparity.
        """
        check_predicted_disparity(detector, "the objective SelfSupervisedDepth")

    def forward(self, step: AdaptationStep) -> dict[str, Tensor]:
        """Return the losses of the target pictures, and of labelled ones where asked for.

        Raises:
            ValueError: no target pictures, or one without neighbours.
        """
        samples = step.target_inputs
        if not samples:
            raise ValueError(
                "the objective SelfSupervisedDepth learns from target pictures, but the batch has "
                "none: name sequences in DATASETS.TARGET"
            )
        for x in samples:
            missing = _missing(x)
            if missing:
                raise ValueError(
                    f"{x.get('file_name', 'a target picture')} has no {' and no '.join(missing)}: "
                    "map target records with NeighbourMapper"
                )
        losses, moving = self._losses(step, samples, target_disparities(step))
        put_scalars({f"{self.name}/moving_pixels": moving})
        if self.on_labelled:
            assert step.source is not None
            inputs = step.source.inputs
            whole = [i for i, x in enumerate(inputs) if not _missing(x)]
            get_event_storage().put_scalar(f"{self.name}/labelled_pictures", len(whole))
            if whole:
                # All of the batch, for the statistics of batch norms.
                found = [d[whole] for d in predict_disparities(step.detector, inputs)]
                more, _ = self._losses(step, [inputs[i] for i in whole], found)
                losses = {name: loss + more[name] for name, loss in losses.items()}
        return {name: self.weight * loss for name, loss in losses.items()}

    def _losses(
        self, step: AdaptationStep, samples: list[dict[str, Any]], disparities: list[Tensor]
    ) -> tuple[dict[str, Tensor], Tensor]:
        before, now, after = (
            preprocess(step.detector, [{"image": x[key]} for x in samples]).tensor for key in FRAMES
        )
        motions = (self.pose(before, now), self.pose(now, after))
        # A step of a resumed run draws what it would have drawn.
        return self.synthesis.losses(samples, disparities, motions, step.iteration)


def _missing(sample: dict[str, Any]) -> list[str]:
    return [key for key in (*FRAMES, "intrinsics") if key not in sample]
