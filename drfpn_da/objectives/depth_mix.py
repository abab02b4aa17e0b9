"""DepthMix: pictures mixed by depth, labelled by a mean teacher (arXiv 2012.10782, section 3.3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Optional

import torch
from detectron2.config import CfgNode, configurable
from torch import Tensor, nn
from torch.nn.functional import one_hot

from ..functional import (
    CONFIDENCE_RULES,
    class_masks,
    confidence_weights,
    confine_masks,
    cut_masks,
    depth_masks,
    mix_with_next,
    normalize_disparity,
    picture_masks,
    pixel_cross_entropy,
    stack_padded,
)
from ..functional.generators import step_generator
from ..functional.mixing import GIVEN_LABELS
from ..functional.no_grad import without_gradients
from ..layers.photometric import PhotometricAugmentation
from ..modeling.feature_taps import FeatureTaps
from ..modeling.meta_arch.adaptive import picture_sizes, preprocess
from ..modeling.objective import OBJECTIVE_REGISTRY, AdaptationStep, Objective, replaced
from ..modeling.predicted_disparity import (
    check_predicted_disparity,
    target_disparities,
    with_disparity,
)
from ..modeling.sem_seg_logits import check_segmentor, semantic_logits
from ..modeling.step_scalars import put_scalars
from ..node_arguments import arguments

DEPTHS = ("file", "student")
MASKS = ("depth", "class", "cut", "none")
COMPARE = ("normalized_disparity", "disparity")
TARGETS = ("hard", "soft")
DENOMINATORS = ("all", "weighted")


@dataclass
class Mix:
    """A mixed batch; picture ``i`` at the top left of a canvas as large as the largest.

    Attributes:
        inputs: data set dicts of the mixed pictures, strongly augmented, each of the size of
            picture ``i``.
        pictures: (N, 3, H, W) uint8, before mixing.
        mixed: (N, 3, H, W) uint8, before strong augmentation.
        masks: (N, H, W) bool, True where picture ``i`` is shown.
        inside: (N, H, W) bool, pixels that belong to picture ``i``.
        labels: (N, H, W) class ids of the mix.
        confidence: (N, H, W) of the labels.
        weights: (N, H, W), 0 outside.
        target: what is learnt: ``labels``, or (N, C, H, W) probabilities.
        disparity: (N, H, W) as compared, or None.
    """

    inputs: list[dict[str, Any]]
    pictures: Tensor
    mixed: Tensor
    masks: Tensor
    inside: Tensor
    labels: Tensor
    confidence: Tensor
    weights: Tensor
    target: Tensor
    disparity: Optional[Tensor]


@OBJECTIVE_REGISTRY.register()
class DepthMix(Objective):
    """The student learns mixtures of target pictures, with the teacher's labels mixed likewise.

    The teacher sees the pictures as they come (the weak view). Pictures that bring "given_labels",
    (H, W), keep these: every pixel with a class is then certain, and the others have none.
    Pictures, labels, confidence and disparity of each pair (picture and next in the batch, the last
    with the first) are mixed with one mask; then colours and sharpness of the mixed pictures, and
    of nothing else, are changed.

    Losses: ``loss_mix``. Scalars: ``confidence``, the mean weight of pixels, and ``own_share``, the
    share of pixels that show picture ``i`` of a pair.

    Args:
        augmentation: of mixed pictures; None: none.
        weight: of the loss.
        start_iter: idle before it.
        mask: "depth", "class", "cut" or "none".
        depth: for mask "depth": "file", the pictures come with their disparity, or "student", the
            student predicts it with the depth decoder of its head; not differentiated.
        compare: for "depth": "normalized_disparity", each picture's stretched to [0, 1]: with
            "file" by ``DisparityMapper``, before a crop; with "student" here. Or "disparity".
        margin: of the comparison, see :func:`depth_masks`.
        threshold: disparity below which nothing stays.
        confidence_rule: see :func:`confidence_weights`.
        confidence: probability from which on a pixel is confident.
        target: "hard" labels or "soft" probabilities.
        denominator: mean over "all" pixels of the pictures, or over the "weighted" ones.

    Raises:
        ValueError: a value out of its list or range.
    """

    name = "depth_mix"
    needs_teacher = True
    labels_target = True
    teacher_may_train = True

    @configurable
    def __init__(
        self,
        *,
        augmentation: Optional[PhotometricAugmentation] = None,
        weight: float = 1.0,
        start_iter: int = 0,
        mask: str = "depth",
        depth: str = "file",
        compare: str = "normalized_disparity",
        margin: float = 0.03,
        threshold: float = 0.0,
        confidence_rule: str = "batch_share",
        confidence: float = 0.968,
        target: str = "hard",
        denominator: str = "all",
    ) -> None:
        super().__init__()
        for key, value, known in (
            ("MASK", mask, MASKS),
            ("DEPTH", depth, DEPTHS),
            ("COMPARE", compare, COMPARE),
            ("CONFIDENCE_RULE", confidence_rule, CONFIDENCE_RULES),
            ("TARGET", target, TARGETS),
            ("DENOMINATOR", denominator, DENOMINATORS),
        ):
            if value not in known:
                raise ValueError(f"MODEL.DEPTH_MIX.{key} is '{value}'; write one of {list(known)}")
        if not 0 <= confidence <= 1 or margin < 0:
            raise ValueError(
                f"MODEL.DEPTH_MIX.CONFIDENCE is {confidence}, MARGIN {margin}; the first must be "
                "in [0, 1], the second not negative"
            )
        self.augmentation = augmentation
        self.weight, self.start_iter = weight, start_iter
        self.mask, self.compare = mask, compare
        self.own_depth = mask == "depth" and depth == "student"
        self.margin, self.threshold = margin, threshold
        self.confidence_rule, self.confidence = confidence_rule, confidence
        self.target, self.denominator = target, denominator
        self._ignore = 255
        #: The mix of the last step, for pictures.
        self.last: Optional[Mix] = None

    @classmethod
    def from_config(cls, cfg: CfgNode, features: FeatureTaps) -> dict[str, Any]:
        """Read ``MODEL.DEPTH_MIX`` and ``INPUT.FORMAT``."""
        node = cfg.MODEL.DEPTH_MIX
        strong = arguments(node.STRONG)
        return {
            "augmentation": PhotometricAugmentation(**strong, image_format=cfg.INPUT.FORMAT),
            **arguments(node, "weight", "start_iter", "mask", "depth", "compare", "margin"),
            **arguments(node, "threshold", "confidence_rule", "confidence"),
            **arguments(node, "target", "denominator"),
        }

    def attach(self, detector: nn.Module, taps: FeatureTaps) -> None:
        """Check the detector.

        Raises:
            ValueError: it has no semantic head, or one without the disparity asked for.
        """
        check_segmentor(detector, "the objective DepthMix")
        if self.own_depth:
            check_predicted_disparity(detector, "MODEL.DEPTH_MIX.DEPTH student")
        self._ignore = int(detector.sem_seg_head.ignore_value)  # type: ignore[union-attr,arg-type]

    def label_target(self, step: AdaptationStep) -> Sequence[dict[str, Any]]:
        """Return the mixed pictures of this step."""
        assert step.teacher is not None
        generator = step_generator(step.iteration)
        inputs: Sequence[dict[str, Any]] = step.target_inputs
        if self.own_depth:
            inputs = with_disparity(inputs, target_disparities(step)[0])
        self.last = self.mix(inputs, step.teacher.detector, generator)
        return self.last.inputs

    def target_losses(self, detector: nn.Module, inputs: list[dict[str, Any]]) -> dict[str, Tensor]:
        """Run the student on the mixed pictures."""
        assert self.last is not None
        logits = semantic_logits(detector, preprocess(detector, inputs))
        mix = self.last
        height, width = mix.inside.shape[-2:]
        counted = mix.inside if self.denominator == "all" else mix.weights > 0
        loss = pixel_cross_entropy(
            logits[..., :height, :width], mix.target, mix.weights, counted.sum(), self._ignore
        )
        return {"loss_mix": loss}

    def forward(self, step: AdaptationStep) -> dict[str, Tensor]:
        """Return the loss of the target pass."""
        assert step.target is not None and self.last is not None
        inside, mix = self.last.inside, self.last
        pixels = inside.sum()
        put_scalars(
            {
                f"{self.name}/confidence": mix.weights.masked_fill(~inside, 0).sum() / pixels,
                f"{self.name}/own_share": (mix.masks & inside).sum() / pixels,
            }
        )
        return {key: self.weight * loss for key, loss in step.target.losses.items()}

    @without_gradients()
    def mix(
        self, inputs: Sequence[dict[str, Any]], teacher: nn.Module, generator: torch.Generator
    ) -> Mix:
        """Label pictures with the teacher and mix them.

        Args:
            inputs: data set dicts with "image" and, for mask "depth", "disparity", (H, W); perhaps
                with "given_labels", (H, W) int64.
            teacher: segmentor.
            generator: of all random choices, on the CPU.

        Raises:
            ValueError: fewer than two pictures, no disparity, or one of another size or range.
        """
        if len(inputs) < 2:
            raise ValueError(
                "DepthMix mixes pairs, but a process has only one target picture: set "
                "SOLVER.TARGET_IMS_PER_BATCH (or SOLVER.IMS_PER_BATCH) to at least 2 for each "
                "process"
            )
        images = preprocess(teacher, list(inputs))
        device = images.tensor.device
        sizes = picture_sizes(list(inputs))
        inside = picture_masks(sizes, device)
        height, width = inside.shape[-2:]
        logits = semantic_logits(teacher, images)[..., :height, :width]
        pictures = stack_padded(
            [x["image"].to(device, non_blocking=True) for x in inputs], (height, width)
        )
        probabilities = logits.softmax(dim=1)
        void = self._give_labels(inputs, probabilities) | ~inside
        confidence, labels = probabilities.max(dim=1)
        labels = labels.masked_fill(void, self._ignore)
        disparity = self._disparity(inputs, inside) if self.mask == "depth" else None
        masks = self._masks(labels, disparity, generator)
        masks = confine_masks(masks.to(device), inside)
        labels = mix_with_next(labels, masks).masked_fill(~inside, self._ignore)
        confidence = mix_with_next(confidence, masks) * inside
        weights = confidence_weights(confidence, self.confidence_rule, self.confidence, inside)
        mixed = mix_with_next(pictures, masks)
        own = [image[:, :h, :w] for image, (h, w) in zip(mixed, sizes)]
        strong = self.augmentation(own, generator) if self.augmentation else own
        return Mix(
            inputs=[replaced(x, image=image) for x, image in zip(inputs, strong)],
            pictures=pictures,
            mixed=mixed,
            masks=masks,
            inside=inside,
            labels=labels,
            confidence=confidence,
            weights=weights,
            target=labels if self.target == "hard" else mix_with_next(probabilities, masks),
            disparity=disparity,
        )

    def _give_labels(self, inputs: Sequence[dict[str, Any]], probabilities: Tensor) -> Tensor:
        """Write labels that pictures bring into the teacher's (N, C, H, W) probabilities.

        Returns:
            (N, H, W) bool, True where a picture that brings labels has none.
        """
        void = torch.zeros_like(probabilities[:, 0], dtype=torch.bool)
        for i, x in enumerate(inputs):
            if GIVEN_LABELS not in x:
                continue
            given = x[GIVEN_LABELS].to(probabilities.device)
            height, width = given.shape
            nothing = given == self._ignore
            rows = one_hot(given.masked_fill(nothing, 0), probabilities.shape[1]).permute(2, 0, 1)
            probabilities[i, :, :height, :width] = rows * ~nothing
            void[i, :height, :width] = nothing
        return void

    def _masks(
        self, labels: Tensor, disparity: Optional[Tensor], generator: torch.Generator
    ) -> Tensor:
        if disparity is not None:
            return depth_masks(disparity, self.margin, self.threshold)
        if self.mask == "class":
            return class_masks(labels, self._ignore, generator)
        if self.mask == "cut":
            return cut_masks(len(labels), (labels.shape[-2], labels.shape[-1]), generator)
        return torch.ones_like(labels, dtype=torch.bool)

    def _disparity(self, inputs: Sequence[dict[str, Any]], inside: Tensor) -> Tensor:
        """Return the (N, H, W) disparity as it is compared."""
        maps = []
        for x in inputs:
            name, size = x.get("file_name", "a target picture"), tuple(x["image"].shape[-2:])
            if "disparity" not in x:
                raise ValueError(
                    f"{name} has no disparity: write INPUT.DISPARITY.ENABLED True (and ROOT, where "
                    "the data set has no disparity files), MODEL.DEPTH_MIX.DEPTH student, or "
                    "another MODEL.DEPTH_MIX.MASK"
                )
            one = x["disparity"]
            if tuple(one.shape) != size:
                raise ValueError(
                    f"{name} has a disparity of {tuple(one.shape)}, but the picture has {size}: "
                    "disparity must follow the transforms of its picture (DisparityMapper)"
                )
            maps.append(one)
        if self.compare != "disparity" and not self.own_depth:
            self._check_range(maps)
        there = [one.to(inside.device, torch.float32, non_blocking=True) for one in maps]
        stacked = stack_padded(there, (inside.shape[-2], inside.shape[-1]))
        if self.compare == "disparity":
            return stacked
        return normalize_disparity(stacked, inside) if self.own_depth else stacked

    def _check_range(self, maps: Sequence[Tensor]) -> None:
        """Raise ValueError if disparity leaves [0, 1]; on the CPU, where data come from."""
        low, high = (min(float(x.min()) for x in maps), max(float(x.max()) for x in maps))
        if low < 0 or high > 1:
            raise ValueError(
                f"MODEL.DEPTH_MIX.COMPARE is '{self.compare}', but disparity of target pictures "
                f"runs from {low:.4g} to {high:.4g}: map them with DisparityMapper(..., "
                "normalize=True), which stretches the whole picture's to [0, 1], or write "
                "MODEL.DEPTH_MIX.COMPARE disparity"
            )
