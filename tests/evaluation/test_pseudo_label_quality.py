"""Quality of pseudo-labels, with numbers worked out by hand."""

import math

import pytest
import torch
from detectron2.structures import Boxes, BoxMode, Instances

from drfpn_da.evaluation.pseudo_label_quality import (
    PseudoLabelQualityEvaluator,
    class_divergence,
    find_again,
    match_to_truth,
)
from drfpn_da.functional import expected_calibration_error

NAME = "tests_pseudo_label_quality"


def found(*rows):
    boxes, scores, classes = zip(*rows) if rows else ((), (), ())
    return Instances(
        (100, 100),
        pred_boxes=Boxes(torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)),
        scores=torch.tensor(scores),
        pred_classes=torch.tensor(classes, dtype=torch.long),
    )


def truth(*rows):
    boxes, classes = zip(*rows) if rows else ((), ())
    return Instances(
        (100, 100),
        gt_boxes=Boxes(torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)),
        gt_classes=torch.tensor(classes, dtype=torch.long),
    )


def test_each_annotation_is_taken_once_by_the_best_score_of_its_class():
    detections = found(
        ([0, 0, 10, 10], 0.6, 0),  # right, but the next one is surer
        ([0, 0, 10, 9], 0.9, 0),
        ([50, 50, 60, 60], 0.8, 1),  # wrong class
        ([50, 50, 60, 55], 0.7, 0),  # IoU exactly 0.5
        ([80, 80, 90, 84], 0.5, 0),  # IoU 0.4
    )
    true = truth(([0, 0, 10, 10], 0), ([50, 50, 60, 60], 0), ([80, 80, 90, 90], 0))
    assert match_to_truth(detections, true).tolist() == [False, True, False, True, False]
    assert match_to_truth(detections, truth()).tolist() == [False] * 5
    assert match_to_truth(found(), true).tolist() == []


def test_calibration_error_by_hand():
    scores = torch.tensor([0.95, 0.91, 0.15, 0.2, 0.05])
    right = torch.tensor([True, False, False, True, False])
    # Bins (0.9, 1]: |1 - 1.86|, (0.1, 0.2]: |1 - 0.35|, [0, 0.1]: |0 - 0.05|.
    expected = (0.86 + 0.65 + 0.05) / 5
    assert expected_calibration_error(scores, right, 10) == pytest.approx(expected, abs=1e-6)
    assert math.isnan(expected_calibration_error(scores[:0], right[:0]))
    assert expected_calibration_error(torch.tensor([0.0, 1.0]), torch.tensor([False, True])) == 0
    with pytest.raises(ValueError, match="not in"):
        expected_calibration_error(torch.tensor([1.5]), torch.tensor([True]))


def test_class_divergence_by_hand():
    # Frequencies (3 + 1, 0 + 1) / 5 and (0 + 1, 3 + 1) / 5.
    value = class_divergence(torch.tensor([3.0, 0]), torch.tensor([0.0, 3]))
    assert value == pytest.approx(0.8 * math.log(4) + 0.2 * math.log(0.25))
    assert class_divergence(torch.tensor([5.0, 2]), torch.tensor([5.0, 2])) == 0


@pytest.fixture
def dataset(register):
    def annotation(box, category, crowd=0):
        return {
            "bbox": box,
            "bbox_mode": BoxMode.XYWH_ABS,
            "category_id": category,
            "iscrowd": crowd,
        }

    records = [
        {
            "image_id": 7,
            "annotations": [
                annotation([0, 0, 10, 10], 0),
                annotation([50, 50, 10, 10], 1),
                annotation([60, 0, 40, 40], 0, crowd=1),
            ],
        },
        {"image_id": 8, "annotations": [annotation([0, 0, 10, 10], 1)]},
    ]
    return register(NAME, records, thing_classes=["car", "bus"])


def test_evaluator_by_hand(dataset):
    evaluator = PseudoLabelQualityEvaluator(dataset, [0.8, 0.6])
    first = found(
        ([0, 0, 10, 10], 0.9, 0),  # right
        ([0, 0, 10, 10], 0.7, 0),  # below the threshold of cars
        ([50, 50, 60, 60], 0.7, 1),  # right
        ([0, 50, 10, 60], 0.65, 1),  # wrong
        ([60, 0, 80, 20], 0.95, 0),  # on the crowd
    )
    evaluator.process(
        [{"image_id": 7}, {"image_id": 8}], [{"instances": first}, {"instances": found()}]
    )
    result = evaluator.evaluate()["pseudo_label"]
    assert result["precision"] == pytest.approx(200 / 3)
    assert result["recall"] == pytest.approx(200 / 3)
    assert result["precision-car"] == 100 and result["recall-car"] == 100
    assert result["precision-bus"] == 50 and result["recall-bus"] == 50
    assert result["boxes_per_picture"] == 1.5
    # (0.6, 0.7]: one of three right, scores 0.7 + 0.7 + 0.65; (0.8, 0.9]: right with 0.9.
    assert result["calibration_error"] == pytest.approx(100 * (1.05 + 0.1) / 4, abs=1e-4)
    # True (1, 2), pseudo (1, 2).
    assert result["class_divergence"] == 0
    evaluator.reset()
    assert math.isnan(evaluator.evaluate()["pseudo_label"]["precision"])


@pytest.mark.parametrize("thresholds", [1.5, [0.5], [0.5, -0.1]])
def test_bad_thresholds(dataset, thresholds):
    with pytest.raises(ValueError, match="one for each of the 2 classes"):
        PseudoLabelQualityEvaluator(dataset, thresholds)


def test_errors_that_stay_by_hand(dataset):
    wrong = found(([0, 0, 10, 10], 0.6, 0), ([0, 0, 10, 10], 0.6, 1), ([50, 50, 60, 60], 0.8, 1))
    now = found(([0, 0, 10, 6], 0.9, 0), ([50, 50, 60, 54], 0.9, 1))
    # The first moved a little; the second has another class; IoU 0.4 is another error.
    assert find_again(wrong, now).tolist() == [True, False, False]
    assert find_again(wrong, found()).tolist() == [False] * 3
    assert find_again(found(), now).tolist() == []


def test_stickiness_of_the_second_round(dataset):
    first = {}
    rows = ([80, 80, 90, 90], 0.9, 0), ([80, 0, 90, 10], 0.9, 1), ([0, 80, 10, 90], 0.5, 1)
    values = []
    for detections in (found(*rows), found(rows[0], ([0, 80, 10, 90], 0.9, 1))):
        evaluator = PseudoLabelQualityEvaluator(NAME, 0.8, distributed=False, first=first)
        evaluator.process([{"image_id": 8}], [{"instances": detections}])
        values.append(evaluator.evaluate()["pseudo_label"]["stickiness"])
    # Two labels were wrong at first; the third detection was no label then.
    assert values == [100.0, 50.0]
    assert [one["from"] for one in evaluator.reliability] == [0.8]
