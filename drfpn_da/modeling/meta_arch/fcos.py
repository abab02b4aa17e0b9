"""FCOS (Tian et al., arXiv 1904.01355) from YAML, and its parts for slender objects."""

from __future__ import annotations

from typing import Any, Union

import torch
from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY, build_backbone
from detectron2.modeling.meta_arch.fcos import FCOS as _FCOS
from detectron2.modeling.meta_arch.fcos import FCOSHead
from detectron2.structures import Boxes
from torch import Tensor

from ...functional import at_least_float32
from ...functional.centerness import centerness as centerness_of
from ...functional.giou import generalized_iou_loss
from ...node_arguments import arguments
from ..dense_heads import SlenderFCOSHead


class FCOS(_FCOS):
    """FCOS of detectron2, built from ``MODEL.FCOS`` or explicit arguments; same parameters.

    As in detectron2, P6 and P7 should be made from P5 (``TOP_BLOCK: p6p7_on_output``).

    For slender objects (arXiv 2011.08529) the centerness, the weights of the box loss and, by
    ``SlenderFCOSHead``, the features and the number of steps of localisation can be changed; left
    alone, it is detectron2's FCOS bit for bit. Scores are computed as ever.
    """

    @configurable
    def __init__(
        self,
        *,
        centerness: Union[str, float] = "standard",
        centerness_weighted_loss: bool = False,
        init_loss_weight: float = 0.5,
        refine_loss_weight: float = 1.0,
        **arguments: Any,
    ) -> None:
        """Take what detectron2's ``FCOS`` takes, and the options for slender objects.

        Args:
            centerness: "standard", "slender" or the power of the centerness target.
            centerness_weighted_loss: weight the box losses by the centerness target, and divide
                them by its sum instead of by the number of positives.
            init_loss_weight: weight of the loss of the initial box, if the head has one.
            refine_loss_weight: weight of the loss of the final box, if the head has both.
            arguments: see detectron2's ``FCOS``.
        """
        super().__init__(**arguments)
        centerness_of(torch.zeros(1, 4), centerness)  # refuses what cannot be
        self.centerness = centerness
        self.centerness_weighted_loss = centerness_weighted_loss
        self.init_loss_weight = init_loss_weight
        self.refine_loss_weight = refine_loss_weight

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Read ``MODEL.FCOS``, the backbone and the pixel statistics.

        Raises:
            ValueError: the backbone lacks a level of ``MODEL.FCOS.IN_FEATURES``; options of the
                head that do not go together.
        """
        node = cfg.MODEL.FCOS
        backbone = build_backbone(cfg)
        shapes = backbone.output_shape()
        missing = [f for f in node.IN_FEATURES if f not in shapes]
        if missing:
            raise ValueError(
                f"MODEL.FCOS.IN_FEATURES {missing}: the backbone gives {sorted(shapes)}"
            )
        return {
            "backbone": backbone,
            "head": _build_head(node, [shapes[f] for f in node.IN_FEATURES]),
            "head_in_features": list(node.IN_FEATURES),
            **arguments(node, "num_classes", "center_sampling_radius", "focal_loss_alpha"),
            **arguments(node, "focal_loss_gamma", "centerness", "centerness_weighted_loss"),
            "test_score_thresh": node.SCORE_THRESH_TEST,
            "test_topk_candidates": node.TOPK_CANDIDATES_TEST,
            "test_nms_thresh": node.NMS_THRESH_TEST,
            "max_detections_per_image": cfg.TEST.DETECTIONS_PER_IMAGE,
            "pixel_mean": cfg.MODEL.PIXEL_MEAN,
            "pixel_std": cfg.MODEL.PIXEL_STD,
            **arguments(node.TWO_STEP, "init_loss_weight", "refine_loss_weight"),
        }

    def forward_training(
        self, images: Any, features: Any, predictions: list, gt_instances: list
    ) -> dict[str, Tensor]:
        """Losses of the final boxes, and of the initial ones if the head predicts them."""
        if len(predictions) == 3:
            return super().forward_training(images, features, predictions, gt_instances)
        logits, deltas, ctrness, init = self._transpose_dense_predictions(
            predictions, [self.num_classes, 4, 1, 4]
        )
        anchors = self.anchor_generator(features)
        gt_labels, gt_boxes = self.label_anchors(anchors, gt_instances)
        losses = self.losses(anchors, logits, gt_labels, deltas, gt_boxes, ctrness)
        losses["loss_fcos_loc"] = losses["loss_fcos_loc"] * self.refine_loss_weight
        loss = self._box_loss(anchors, gt_labels, init, gt_boxes)
        losses["loss_fcos_loc_init"] = loss * self.init_loss_weight
        return losses

    def _transpose_dense_predictions(
        self, predictions: list[list[Tensor]], dims_per_anchor: list[int]
    ) -> list[list[Tensor]]:
        """See detectron2's ``DenseDetector``; in float32 also under mixed precision.

        Boxes take the type of their deltas. In half precision they would lie on whole pixels or
        coarser, and the generalised IoU loss refuses them beside ground truth in float32.
        """
        exact = [[at_least_float32(x) for x in kind] for kind in predictions]
        transposed: list[list[Tensor]] = super()._transpose_dense_predictions(
            exact, dims_per_anchor
        )
        return transposed

    def losses(
        self,
        anchors: list[Boxes],
        pred_logits: list[Tensor],
        gt_labels: list[Tensor],
        pred_anchor_deltas: list[Tensor],
        gt_boxes: list[Tensor],
        pred_centerness: list[Tensor],
    ) -> dict[str, Tensor]:
        """See detectron2's ``FCOS``; the box loss weighted by centerness if asked for."""
        losses = super().losses(
            anchors, pred_logits, gt_labels, pred_anchor_deltas, gt_boxes, pred_centerness
        )
        if self.centerness_weighted_loss:
            losses["loss_fcos_loc"] = self._box_loss(
                anchors, gt_labels, pred_anchor_deltas, gt_boxes
            )
        return losses

    def _box_loss(
        self,
        anchors: list[Boxes],
        gt_labels: list[Tensor],
        deltas: list[Tensor],
        gt_boxes: list[Tensor],
    ) -> Tensor:
        """Generalised IoU loss of the positives, (weighted) mean."""
        labels = torch.stack(gt_labels)
        positive = (labels >= 0) & (labels != self.num_classes)
        points = Boxes.cat(anchors).tensor
        boxes = torch.stack(
            [self.box2box_transform.apply_deltas(d, points) for d in torch.cat(deltas, dim=1)]
        )
        # All points, the others as the unit box: to choose the positives, the host would wait.
        unit = torch.linspace(0, 1, 4, dtype=boxes.dtype, device=boxes.device).round()
        chosen = positive[..., None]
        target = torch.where(chosen, torch.stack(gt_boxes), unit)
        loss = generalized_iou_loss(torch.where(chosen, boxes, unit), target)
        loss = loss.masked_fill(~positive, 0)
        if not self.centerness_weighted_loss:
            return loss.sum() / self.loss_normalizer
        weight = self.compute_ctrness_targets(anchors, gt_boxes).masked_fill(~positive, 0)
        return (loss * weight).sum() / weight.sum().clamp(min=1e-6)

    def compute_ctrness_targets(self, anchors: list[Boxes], gt_boxes: list[Tensor]) -> Tensor:
        """Return (N, R) centerness of N images and R points; meaningful for positives."""
        if self.centerness == "standard":
            return super().compute_ctrness_targets(anchors, gt_boxes)
        points = Boxes.cat(anchors).tensor
        ltrb = [self.box2box_transform.get_deltas(points, boxes) for boxes in gt_boxes]
        return centerness_of(torch.stack(ltrb), self.centerness)

    def forward_inference(self, images: Any, features: Any, predictions: list) -> list:
        """Detections of the final boxes."""
        return super().forward_inference(images, features, predictions[:3])


def _build_head(node: CfgNode, inputs: list) -> FCOSHead:
    shared = {
        "input_shape": inputs,
        "conv_dims": [inputs[0].channels] * node.NUM_CONVS,
        **arguments(node, "num_classes", "norm", "prior_prob"),
    }
    if node.ADAPTATION == "none" and not (node.TWO_STEP.ENABLED or node.TWO_STEP.RESIDUAL):
        return FCOSHead(**shared)
    return SlenderFCOSHead(
        two_step=node.TWO_STEP.ENABLED,
        residual=node.TWO_STEP.RESIDUAL,
        adaptation=node.ADAPTATION,
        **shared,
    )


if "FCOS" not in META_ARCH_REGISTRY:
    META_ARCH_REGISTRY.register(FCOS)
