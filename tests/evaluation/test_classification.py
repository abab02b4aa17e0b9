"""Accuracy and calibration, against numbers counted by hand."""

import math

import pytest
import torch
from detectron2.data import MetadataCatalog

from drfpn_da.evaluation import ClassificationEvaluator, EvaluationContext
from drfpn_da.evaluation.build import build_evaluators_from_metadata
from drfpn_da.functional import expected_calibration_error, stickiness

NAME = "classification_by_hand"
MetadataCatalog.get(NAME).set(thing_classes=["a", "b", "c"], evaluator_type="classification")
SCORES = [[0.8, 0.1, 0.1], [0.3, 0.6, 0.1], [0.5, 0.3, 0.2], [0.1, 0.9, 0.0]]


def run(classes):
    evaluator = ClassificationEvaluator(NAME, distributed=False)
    for number, scores in zip(classes, SCORES):
        record = {"file_name": "x.png", "class_id": number}
        evaluator.process([record], [{"scores": torch.tensor(scores)}])
    return evaluator.evaluate()["classification"]


def test_metrics_by_hand():
    result = run([0, 0, 0, 1])
    assert result["accuracy"] == pytest.approx(75)
    assert result["accuracy-a"] == pytest.approx(200 / 3)
    assert result["accuracy-b"] == 100 and "accuracy-c" not in result
    assert result["class_accuracy"] == pytest.approx((200 / 3 + 100) / 2)
    # Each prediction in a bin of its own: the mean of |correct - confidence|.
    assert result["calibration_error"] == pytest.approx(100 * (0.2 + 0.6 + 0.5 + 0.1) / 4)
    expected = -sum(math.log(p) for p in (0.8, 0.3, 0.5, 0.9)) / 4
    assert result["log_loss"] == pytest.approx(expected)


def test_metadata_choose_it():
    evaluators = build_evaluators_from_metadata(EvaluationContext(NAME), {"classes"})
    assert isinstance(evaluators._evaluators[0], ClassificationEvaluator)


@pytest.mark.parametrize("number", [3, -1])
def test_wrong_class_is_named(number):
    with pytest.raises(ValueError, match=f"x.png: class_id is {number}, .* 3 classes"):
        run([number])


def test_nothing_to_evaluate():
    with pytest.raises(ValueError, match="no picture"):
        run([])


def test_calibration_gap_is_that_of_each_bin():
    # Ten at 0.7 of which seven are right, ten at 0.95 of which none is.
    confidence = torch.tensor([0.7] * 10 + [0.95] * 10)
    correct = torch.tensor([True] * 7 + [False] * 13)
    found = expected_calibration_error(confidence, correct, bins=10)
    assert float(found) == pytest.approx(0.95 / 2, abs=1e-6)
    assert float(expected_calibration_error(torch.ones(3), torch.ones(3, dtype=torch.bool))) == 0


def test_stickiness_counts_the_same_wrong_class_only():
    first = torch.tensor([0, 1, 2, 2, 1])
    truth = torch.tensor([0, 0, 0, 0, 0])
    now = torch.tensor([1, 1, 2, 1, 0])
    assert float(stickiness(first, now, truth)) == 0.5
    assert math.isnan(stickiness(truth, now, truth))
