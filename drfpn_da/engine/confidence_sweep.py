"""A pass over labelled pictures with a trained model, to judge their labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.evaluation import inference_context
from detectron2.structures import BoxMode
from torch import nn

from ..checkpoint import load_model
from ..data.pictures import build_picture_loader
from ..labels import AnnotationIndex, RelabelStore
from ..labels.audit import AuditThresholds, Suspect, audit_picture
from ..labels.journal import Entry

# Lower scores than detectron2's default tell how improbable the given class is.
SCORE_THRESHOLD = 0.01

Detections = dict[str, np.ndarray]


def sweep_labels(
    cfg: CfgNode, records: Sequence[dict[str, Any]], weights: Sequence[str]
) -> list[Detections]:
    """Predict on every picture.

    Args:
        cfg: of the model; not changed.
        records: data set dicts.
        weights: checkpoints. With several, the k-th predicts on the pictures whose place modulo
            their number is k: on those it was not trained on, if training left out these.

    Returns:
        For each record "boxes" (D, 4) as x0, y0, x1, y1, "scores" and "classes".
    """
    cfg = cfg.clone()
    cfg.defrost()
    cfg.MODEL.ROI_HEADS.SCORE_THRESH_TEST = SCORE_THRESHOLD
    cfg.MODEL.RETINANET.SCORE_THRESH_TEST = SCORE_THRESHOLD
    if "FCOS" in cfg.MODEL and "SCORE_THRESH_TEST" in cfg.MODEL.FCOS:
        cfg.MODEL.FCOS.SCORE_THRESH_TEST = SCORE_THRESHOLD
    cfg.freeze()
    results: list[Any] = [None] * len(records)
    for number, checkpoint in enumerate(weights):
        model = load_model(cfg, checkpoint)
        places = range(number, len(records), len(weights))
        for place, found in zip(places, _predict(cfg, model, [records[p] for p in places])):
            results[place] = found
    return results


def fold_of(records: Sequence[Mapping[str, Any]], folds: int) -> list[int]:
    """Return for each record the fold that is to be left out of training; see the sweep."""
    return [place % folds for place in range(len(records))]


def find_suspects(
    records: Sequence[dict[str, Any]],
    detections: Sequence[Detections],
    annotations: AnnotationIndex,
    thresholds: AuditThresholds,
) -> list[Suspect]:
    """Return what is suspicious in all pictures, most suspicious first.

    Args:
        records: numbered by :func:`drfpn_da.data.load_indexed`; of one data set.
        detections: of each record.
        annotations: the numbering.
        thresholds: when to suspect.
    """
    suspects = []
    dataset = annotations.datasets[0].name
    for record, found in zip(records, detections):
        kept = [
            {**a, "bbox": BoxMode.convert(list(a["bbox"]), a["bbox_mode"], BoxMode.XYWH_ABS)}
            for a in record.get("annotations", [])
        ]
        ids = [annotations.annotation_ids[a["annotation_index"]] for a in kept]
        picture = {**record, "annotations": kept}
        suspects += audit_picture(picture, found, annotations.class_names, ids, dataset, thresholds)
    return sorted(suspects, key=lambda s: -s.score)


def propose(
    suspects: Sequence[Suspect], annotations: AnnotationIndex, settings: dict[str, Any]
) -> RelabelStore:
    """Return a journal in which every suspicious class is a proposal."""
    entries = [
        Entry(
            round=1,
            iteration=0,
            status="proposed",
            dataset=s.dataset,
            image_id=s.image_id,
            annotation_id=s.annotation_id,  # type: ignore[arg-type]
            file_name=s.file_name,
            box=s.box,
            old=s.old or "",
            new=s.new,
            p_old=s.p_old,
            p_new=s.p_new,
        )
        for s in suspects
        if s.kind == "class"
    ]
    return RelabelStore(annotations.datasets, settings, entries)


def _predict(cfg: CfgNode, model: nn.Module, records: list[dict]) -> list[Detections]:
    loader = build_picture_loader(cfg, records, num_workers=0)
    results = []
    with inference_context(model), torch.no_grad():
        for inputs in loader:
            instances = model(inputs)[0]["instances"].to("cpu")
            results.append(
                {
                    "boxes": instances.pred_boxes.tensor.double().numpy(),
                    "scores": instances.scores.double().numpy(),
                    "classes": instances.pred_classes.numpy(),
                }
            )
    return results
