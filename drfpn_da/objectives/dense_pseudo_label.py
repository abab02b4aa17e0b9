"""Self-training of segmentors: a teacher labels each pixel of the weak view, softly or not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Optional, cast

import torch
from detectron2.config import CfgNode, configurable
from torch import Tensor, nn
from torch.nn.functional import one_hot

from ..functional import picture_masks, pixel_cross_entropy, stack_padded
from ..functional.generators import step_generator
from ..functional.mixup import draw_mixup
from ..functional.no_grad import without_gradients
from ..functional.replay import VIEW_TO_PICTURE, replay_map
from ..labels import DenseLabelStore
from ..modeling.feature_taps import FeatureTaps
from ..modeling.meta_arch.adaptive import picture_sizes, preprocess
from ..modeling.objective import OBJECTIVE_REGISTRY, AdaptationStep, replaced
from ..modeling.sem_seg_logits import check_segmentor, semantic_logits
from ..modeling.step_scalars import put_scalars
from ..node_arguments import arguments
from .pseudo_checks import views_of
from .self_training import SelfTraining


@dataclass
class DenseLabels:
    """Labels of the student in a step, on a canvas as large as the largest picture.

    Attributes:
        pictures: (N, 3, H, W) float32, strong views, mixed where asked for.
        target: (N, C, H, W), rows over classes with sum 1 on every pixel of the pictures.
        weights: (N, H, W), 1 where the label counts, 0 elsewhere and in the padding.
        inside: (N, H, W) bool, pixels of the pictures.
    """

    pictures: Tensor
    target: Tensor
    weights: Tensor
    inside: Tensor


@OBJECTIVE_REGISTRY.register()
class DensePseudoLabel(SelfTraining):
    """Losses of a segmentor's strong view against the teacher's labels of the weak view.

    The method of arXiv 1908.02983 for pixels: soft labels, mixup of pictures and labels, and two
    regularisers of the same pass. The labels are those of the moment with a moving average as
    teacher, or of the last epoch's end with a snapshot (``MODEL.TEACHER.PERIOD``) or with files
    (``stored``). With ``regularise_only`` another objective labels the target, and the regularisers
    act on its pass.

    Losses: ``loss_sem_seg`` (mean over the pixels of the pictures, those below the threshold count
    as 0), ``loss_prior``, ``loss_entropy``. Scalars: ``labelled_share`` of pixels, ``confidence``,
    ``threshold_lowest``, ``weight``, ``prior_divergence``.

    Args:
        soft: see :class:`SelfTraining`.
        threshold: least probability of the most probable class.
        mixup_alpha: lambda follows Beta(alpha, alpha), one for each batch; 0: no mixup.
        regularise_only: label nothing.
        stored: labels come from :attr:`store`, which a ``DenseLabelHook`` fills.
        shared: see :class:`SelfTraining`.

    Attributes:
        store: labels of whole pictures, with ``stored``.

    Raises:
        ValueError: a value out of range; names the key.
    """

    name = "dense_pseudo_label"

    @configurable
    def __init__(
        self,
        *,
        soft: bool = True,
        threshold: float = 0.0,
        mixup_alpha: float = 0.0,
        regularise_only: bool = False,
        stored: bool = False,
        **shared: Any,
    ) -> None:
        super().__init__(soft=soft, threshold=threshold, **shared)
        if not 0 <= mixup_alpha < float("inf"):
            raise ValueError(f"MODEL.PSEUDO_LABEL.MIXUP_ALPHA is {mixup_alpha}; write 0 or more")
        if regularise_only:
            self._refuse_labels(mixup_alpha, stored)
        self.mixup_alpha = mixup_alpha
        self.labels_target, self.needs_labeller = not regularise_only, regularise_only
        self.stored = stored
        self.needs_teacher = self.labels_target and not stored
        self.store: Optional[DenseLabelStore] = None
        self._ignore = 255
        self._logits: Optional[Tensor] = None
        #: The labels of the last step.
        self.last: Optional[DenseLabels] = None

    def _refuse_labels(self, mixup_alpha: float, stored: bool) -> None:
        """Refuse what does not go with ``regularise_only``."""
        key = "MODEL.PSEUDO_LABEL"
        if not (self.prior_weight or self.entropy_weight):
            raise ValueError(
                f"{key}.REGULARISE_ONLY is True, but PRIOR.WEIGHT and ENTROPY_WEIGHT are 0: there "
                "would be nothing to learn; set one of them"
            )
        if mixup_alpha:
            raise ValueError(
                f"{key}.MIXUP_ALPHA is {mixup_alpha}, but with REGULARISE_ONLY the pictures are "
                "another objective's; write MIXUP_ALPHA 0"
            )
        if stored:
            raise ValueError(
                f"{key}.STORE.ENABLED is True, but with REGULARISE_ONLY the labels are another "
                "objective's; write STORE.ENABLED False"
            )

    @classmethod
    def from_config(cls, cfg: CfgNode, features: FeatureTaps) -> dict[str, Any]:
        """Read ``MODEL.PSEUDO_LABEL``.

        Raises:
            ValueError: boxes are asked for.
        """
        node = cfg.MODEL.PSEUDO_LABEL
        if node.BOX_REGRESSION != "none":
            raise ValueError(
                f"MODEL.PSEUDO_LABEL.BOX_REGRESSION is '{node.BOX_REGRESSION}', but "
                "DensePseudoLabel labels pixels; write none"
            )
        return {
            **cls.shared_arguments(cfg),
            **arguments(node, "mixup_alpha", "regularise_only"),
            "stored": node.STORE.ENABLED,
        }

    def attach(self, detector: nn.Module, taps: FeatureTaps) -> None:
        """Check the student, make the statistics, note the logits of its target pass.

        Raises:
            ValueError: it has no semantic head, or not as many classes as frequencies are given.
        """
        if hasattr(self, "statistics"):  # the student came first
            return
        check_segmentor(detector, "the objective DensePseudoLabel")
        head: Any = detector.sem_seg_head
        self._ignore = int(head.ignore_value)
        # A semantic head's last layer has a map for each class.
        last = [m for m in head.modules() if isinstance(m, nn.Conv2d)][-1]
        self.start_statistics(last.out_channels)
        # A method, not a closure: a copy of the model then has a hook of its own.
        head.register_forward_hook(self._note_logits)

    def _note_logits(self, module: nn.Module, inputs: Any, output: Any) -> None:
        # None where the head returns losses, as for the labelled pictures.
        self._logits = output[0] if self.training else None

    def label_target(self, step: AdaptationStep) -> Optional[Sequence[dict[str, Any]]]:
        """Return the strong views, mixed where asked for; None with ``regularise_only``.

        Raises:
            ValueError: pictures without two views, too few labelled pictures in the batch, or a
                single picture to mix.
        """
        self.check_batch(step)
        if not self.labels_target:
            return None
        labeller = step.teacher.detector if step.teacher else step.detector
        self.last = self.label(
            step.target_inputs, labeller, step_generator(step.iteration, self.name)
        )
        sizes = picture_sizes(step.target_inputs)
        return [
            replaced(x, image=picture[:, :h, :w])
            for x, picture, (h, w) in zip(step.target_inputs, self.last.pictures, sizes)
        ]

    def target_losses(self, detector: nn.Module, inputs: list[dict[str, Any]]) -> dict[str, Tensor]:
        """Run the student on the strong views."""
        assert self.last is not None
        height, width = self.last.inside.shape[-2:]
        logits = semantic_logits(detector, preprocess(detector, inputs))[..., :height, :width]
        counted = self.last.inside.sum()
        loss = pixel_cross_entropy(logits, self.last.target, self.last.weights, counted)
        return {"loss_sem_seg": loss}

    def forward(self, step: AdaptationStep) -> dict[str, Tensor]:
        """Return the weighted losses."""
        assert step.source is not None and step.target is not None
        logits, self._logits = self._logits, None
        assert logits is not None
        losses = dict(step.target.losses) if self.labels_target else {}
        if self.prior_weight:
            pixels = torch.cat([x["sem_seg"].flatten() for x in step.source.inputs])
            device = self.statistics.source_counts.device
            self.statistics.add_labels(
                pixels[pixels != self._ignore].long().to(device, non_blocking=True)
            )
        inside = picture_masks(picture_sizes(step.target.inputs), logits.device)
        height, width = inside.shape[-2:]
        if self.prior_weight or self.entropy_weight:
            rows = logits[..., :height, :width].permute(0, 2, 3, 1).flatten(0, 2)
            losses.update(self.regularisers(rows, inside.flatten()))
        return self.weighted(losses, step.iteration)

    @without_gradients()
    def label(
        self, inputs: list[dict[str, Any]], teacher: nn.Module, generator: torch.Generator
    ) -> DenseLabels:
        """Label pictures; mix strong views and labels if asked for.

        Args:
            inputs: data set dicts with "views".
            teacher: segmentor in evaluation mode; with :attr:`store` only its device is used.
            generator: of the mixup, on the CPU.

        Raises:
            RuntimeError: nobody has filled the store.
        """
        views = [views_of(x) for x in inputs]
        device = cast(Tensor, teacher.pixel_mean).device
        inside = picture_masks(picture_sizes([{"image": weak} for weak, _ in views]), device)
        height, width = inside.shape[-2:]
        if self.stored:
            probabilities = stack_padded(self._stored(inputs, device), (height, width))
        else:
            images = preprocess(teacher, [{"image": weak} for weak, _ in views])
            probabilities = semantic_logits(teacher, images)[..., :height, :width].softmax(dim=1)
        confidence, labels = probabilities.max(dim=1)
        self.statistics.add_scores(confidence.flatten(), labels.flatten(), inside.flatten())
        thresholds = self.statistics.thresholds()
        sure = inside & (confidence >= thresholds[labels])
        if not self.soft:
            hard = one_hot(labels, probabilities.shape[1]).permute(0, 3, 1, 2)
            probabilities = hard.to(probabilities.dtype)
        strong = stack_padded(
            [view.to(device, non_blocking=True).float() for _, view in views], (height, width)
        )
        pixels = inside.sum()
        put_scalars(
            {
                f"{self.name}/labelled_share": sure.sum() / pixels,
                f"{self.name}/confidence": confidence.masked_fill(~inside, 0).sum() / pixels,
                f"{self.name}/threshold_lowest": thresholds.min(),
            }
        )
        if not self.mixup_alpha:
            return DenseLabels(strong, probabilities, sure.float(), inside)
        return self._mixed(DenseLabels(strong, probabilities, sure.float(), inside), generator)

    def _stored(self, inputs: list[dict[str, Any]], device: torch.device) -> list[Tensor]:
        """Return the stored labels of pictures, (C, h, w) each, as their views show them."""
        if self.store is None:
            raise RuntimeError(
                "MODEL.PSEUDO_LABEL.STORE.ENABLED is True, but no hook labels the target: train "
                "with drfpn_da.engine.Trainer, or register DenseLabelHook.from_config(cfg)"
            )
        return [
            replay_map(
                self.store.read(x["file_name"]).to(device, non_blocking=True),
                x[VIEW_TO_PICTURE],
                size,
            )
            for x, size in zip(inputs, picture_sizes(inputs))
        ]

    def _mixed(self, labels: DenseLabels, generator: torch.Generator) -> DenseLabels:
        """Mix pictures and labels pixel by pixel.

        A label counts where both do; where the partner has no pixel, nothing is mixed.
        """
        count = len(labels.inside)
        if count < 2:
            raise ValueError(
                "MODEL.PSEUDO_LABEL.MIXUP_ALPHA mixes pairs, but a process has only one target "
                "picture: set SOLVER.TARGET_IMS_PER_BATCH (or SOLVER.IMS_PER_BATCH) to at least 2 "
                "for each process, or MIXUP_ALPHA 0"
            )
        partner, own = draw_mixup(count, self.mixup_alpha, generator)
        partner = partner.to(labels.inside.device, non_blocking=True)
        both = labels.inside[partner]
        share = torch.where(both, own, 1.0).to(labels.target.dtype)[:, None]
        return DenseLabels(
            pictures=torch.lerp(labels.pictures[partner], labels.pictures, share),
            target=torch.lerp(labels.target[partner], labels.target, share),
            weights=labels.weights * torch.where(both, labels.weights[partner], 1.0),
            inside=labels.inside,
        )
