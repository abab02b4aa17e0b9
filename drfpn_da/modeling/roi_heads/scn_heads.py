"""ROI heads with SCN's box predictor, whose labels can be corrected while training."""

from __future__ import annotations

from typing import Any, Optional

import torch
from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from detectron2.modeling.roi_heads import (
    ROI_HEADS_REGISTRY,
    CascadeROIHeads,
    Res5ROIHeads,
    StandardROIHeads,
)
from detectron2.structures import ImageList, Instances, pairwise_iou
from torch import Tensor, nn

from ...compat import register_if_free
from .importance_predictor import INDEX, ROW, SCNFastRCNNOutputLayers


class CorrectsLabels:
    """Mixin of ROI heads: trains on corrected classes, by annotation, in place of the given ones.

    Corrections are applied here and not in the data set because the loader's processes never see a
    later change of it; so a correction made after one step is what the next step trains on.
    """

    #: (N,) class of every annotation of the training data by its index; None: none is corrected.
    corrected_classes: Optional[Tensor] = None
    #: Whether targets with ``gt_annotation_index`` were seen in training, be they without objects.
    numbered: bool = False

    def forward(
        self,
        images: ImageList,
        features: dict[str, Tensor],
        proposals: list[Instances],
        targets: Optional[list[Instances]] = None,
    ) -> tuple[list[Instances], dict[str, Tensor]]:
        """As detectron2's, with corrected and numbered targets in training."""
        if self.training and targets:  # type: ignore[attr-defined]
            targets = self.prepare_targets(targets)
        return super().forward(images, features, proposals, targets)  # type: ignore[misc]

    def prepare_targets(self, targets: list[Instances]) -> list[Instances]:
        """Return targets with corrected ``gt_classes`` and ``gt_rows``, numbers within the batch.

        Targets without ``gt_annotation_index`` (pseudo-labels, say) keep their classes. What was
        given is not changed.
        """
        prepared, rows = [], 0
        for given in targets:
            self.numbered |= given.has(INDEX)
            target = Instances(given.image_size, **given.get_fields())
            target.set(ROW, torch.arange(rows, rows + len(given), device=given.gt_classes.device))
            rows += len(given)
            if self.corrected_classes is not None and given.has(INDEX):
                index = given.get(INDEX).to(self.corrected_classes.device)
                target.gt_classes = self.corrected_classes[index].to(given.gt_classes)
            prepared.append(target)
        return prepared

    def voting_predictor(self) -> SCNFastRCNNOutputLayers:
        """Return the predictor whose outputs are votes: the last of a cascade."""
        predictors: Any = self.box_predictor  # type: ignore[attr-defined]
        last: Any = predictors[-1] if isinstance(predictors, nn.ModuleList) else predictors
        return last


@register_if_free(ROI_HEADS_REGISTRY)
class SCNROIHeads(CorrectsLabels, StandardROIHeads):
    """``StandardROIHeads`` with SCN's box predictor; mask and keypoint branches as they are."""

    @classmethod
    def _init_box_head(cls, cfg: CfgNode, input_shape: dict[str, ShapeSpec]) -> dict[str, Any]:
        ret = super()._init_box_head(cfg, input_shape)
        ret["box_predictor"] = SCNFastRCNNOutputLayers(cfg, ret["box_head"].output_shape)
        return ret


@register_if_free(ROI_HEADS_REGISTRY)
class SCNCascadeROIHeads(CorrectsLabels, CascadeROIHeads):
    """``CascadeROIHeads`` with importance in every stage; the last stage votes on labels."""

    @classmethod
    def _init_box_head(cls, cfg: CfgNode, input_shape: dict[str, ShapeSpec]) -> dict[str, Any]:
        ret = super()._init_box_head(cfg, input_shape)
        ret["box_predictors"] = [
            SCNFastRCNNOutputLayers(
                cfg, head.output_shape, box2box_transform=predictor.box2box_transform
            )
            for head, predictor in zip(ret["box_heads"], ret["box_predictors"])
        ]
        return ret

    @torch.no_grad()
    def _match_and_label_boxes(
        self, proposals: list[Instances], stage: int, targets: list[Instances]
    ) -> list[Instances]:
        proposals = super()._match_and_label_boxes(proposals, stage, targets)
        # The parent copies classes and boxes only.
        for boxes, target in zip(proposals, targets):
            if not len(target):
                continue
            overlaps = pairwise_iou(target.gt_boxes, boxes.proposal_boxes)
            matched, _ = self.proposal_matchers[stage](overlaps)
            for name in (ROW, INDEX):
                if target.has(name):
                    boxes.set(name, target.get(name)[matched])
        return proposals


@register_if_free(ROI_HEADS_REGISTRY)
class SCNRes5ROIHeads(CorrectsLabels, Res5ROIHeads):
    """``Res5ROIHeads`` (the heads of C4 models) with SCN's box predictor."""

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: dict[str, ShapeSpec]) -> dict[str, Any]:
        """As the parent's, with SCN's box predictor."""
        ret = super().from_config(cfg, input_shape)
        shape = ShapeSpec(channels=ret["box_predictor"].cls_score.in_features, height=1, width=1)
        return {**ret, "box_predictor": SCNFastRCNNOutputLayers(cfg, shape)}


def find_scn_heads(model: nn.Module) -> Optional[CorrectsLabels]:
    """Return the ROI heads of SCN that are trained in a model (not those of a teacher), if any."""
    for module in model.modules():
        if isinstance(module, CorrectsLabels) and any(
            parameter.requires_grad for parameter in module.voting_predictor().parameters()
        ):
            return module
    return None
