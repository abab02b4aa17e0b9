"""The generated streets are measured as boxes, masks, labels and panoptic segments."""

from __future__ import annotations

import torch
from detectron2.data import DatasetCatalog

import drfpn_da  # noqa: F401  registers the data sets
from drfpn_da.compat import load_label_map
from drfpn_da.evaluation import PanopticQualityEvaluator
from drfpn_da.evaluation.panoptic_truth import PanopticTruth


def test_panoptic_truth_scores_100_and_a_lost_object_less():
    name = "streets_mini_clear_val_separated"
    truth = PanopticTruth(name)
    perfect = PanopticQualityEvaluator(name, distributed=False)
    lost = PanopticQualityEvaluator(name, distributed=False)
    for record in DatasetCatalog.get(name)[:4]:
        ids, segments = truth[record["image_id"]]
        # Only things too small to be annotated are void.
        labels = load_label_map(record["sem_seg_file_name"])
        assert (labels[ids == 0] == 0).all() and (ids > 0).mean() > 0.95
        infos = [
            {"id": s.id, "isthing": s.category[0], "category_id": s.category[1]} for s in segments
        ]
        perfect.process([record], [{"panoptic_seg": (torch.tensor(ids), infos)}])
        lost.process([record], [{"panoptic_seg": (torch.tensor(ids), infos[:-1])}])
    result, without = perfect.evaluate()["panoptic_seg"], lost.evaluate()["panoptic_seg"]
    assert result["PQ_th"] == result["PQ_st"] == result["PQ"] == 100
    assert without["PQ_th"] < 100 and without["PQ_st"] == 100
