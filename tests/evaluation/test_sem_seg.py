"""mIoU against a loop over pixels, and the convention for absent classes."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from detectron2.data import MetadataCatalog
from PIL import Image

from drfpn_da.evaluation import MIoUEvaluator

CLASSES = ["road", "sky", "car", "train"]  # the last never occurs in the ground truth
IGNORE = 255


@pytest.fixture
def dataset(tmp_path, register):
    rng = np.random.default_rng(0)
    records = []
    for i in range(3):
        labels = rng.integers(0, 3, (12, 17)).astype(np.uint8)
        labels[rng.random(labels.shape) < 0.2] = IGNORE
        Image.fromarray(labels).save(tmp_path / f"{i}_labels.png")
        records.append(
            {"file_name": f"{i}.png", "sem_seg_file_name": str(tmp_path / f"{i}_labels.png")}
        )
    name = f"sem_seg_{tmp_path.name}"
    return register(name, records, stuff_classes=CLASSES, ignore_label=IGNORE), records


def _evaluate(name, records, predictions):
    evaluator = MIoUEvaluator(name, distributed=False)
    evaluator.reset()
    for record, prediction in zip(records, predictions):
        scores = torch.nn.functional.one_hot(torch.as_tensor(prediction), len(CLASSES))
        evaluator.process([record], [{"sem_seg": scores.permute(2, 0, 1).float()}])
    return evaluator.evaluate()["sem_seg"]


def _iou_by_loop(records, predictions, label):
    intersection = union = 0
    for record, prediction in zip(records, predictions):
        truth = np.asarray(Image.open(record["sem_seg_file_name"]))
        for t, p in zip(truth.ravel(), prediction.ravel()):
            if t == IGNORE:
                continue
            intersection += t == label and p == label
            union += t == label or p == label
    return intersection / union if union else None


def test_against_a_loop_over_pixels(dataset, caplog):
    name, records = dataset
    rng = np.random.default_rng(1)
    predictions = [rng.integers(0, 4, (12, 17)) for _ in records]
    with caplog.at_level(logging.INFO):
        result = _evaluate(name, records, predictions)
    ious = [_iou_by_loop(records, predictions, label) for label in range(4)]
    assert ious[3] == 0, "the absent class must be predicted for this test to say anything"
    assert result["mIoU"] == pytest.approx(100 * np.mean(ious[:3]), abs=1e-9)
    assert result["mIoU_absent_zero"] == pytest.approx(100 * np.mean(ious), abs=1e-9)
    for i in range(3):
        assert result[f"IoU-{CLASSES[i]}"] == pytest.approx(100 * ious[i], abs=1e-9)
    assert "3 of 4 classes" in caplog.text and "absent: train" in caplog.text


def test_perfect_prediction_is_100_whatever_is_said_on_ignored_pixels(dataset):
    name, records = dataset
    truths = [np.asarray(Image.open(r["sem_seg_file_name"])).astype(int) for r in records]
    result = _evaluate(name, records, [np.where(t == IGNORE, 3, t) for t in truths])
    assert result["mIoU"] == 100 and result["mIoU_absent_zero"] == 100


def test_label_outside_the_classes_is_named(dataset):
    name, records = dataset
    Image.fromarray(np.full((12, 17), 9, np.uint8)).save(records[0]["sem_seg_file_name"])
    with pytest.raises(ValueError, match=r"0_labels.png: label 9 .*0 to 3.*ignore label 255"):
        _evaluate(name, records, [np.zeros((12, 17), int)] * 3)


def test_missing_metadata_is_named(dataset):
    name, _ = dataset
    del MetadataCatalog.get(name).__dict__["ignore_label"]
    with pytest.raises(ValueError, match="lack ignore_label"):
        MIoUEvaluator(name)


def test_records_without_labels_are_named(dataset):
    name, records = dataset
    del records[1]["sem_seg_file_name"]
    with pytest.raises(ValueError, match=r"1 of 3 pictures have no sem_seg_file_name.*1.png"):
        MIoUEvaluator(name)


def test_three_conventions_of_the_mean(one_picture):
    """By hand: 75 without absent classes, 50 with those predicted, fewer with all."""
    truth = np.array([[0, 0, 1, 1, IGNORE, IGNORE]], np.uint8)
    prediction = np.array([[0, 2, 1, 1, 3, 3]])
    # Class 0: 1 of 2 pixels; class 1: 2 of 2; class 2: predicted once, absent; class 3: predicted
    # on ignored pixels only.
    ious = {0: 1 / 2, 1: 1.0, 2: 0.0}
    assert 100 * np.mean([ious[0], ious[1]]) == 75 and 100 * np.mean(list(ious.values())) == 50
    result = _evaluate(*one_picture(truth), [prediction])
    assert result["mIoU"] == pytest.approx(75, abs=1e-9)
    assert result["mIoU_absent_zero"] == pytest.approx(50, abs=1e-9)
    assert result["mIoU_all_classes"] == pytest.approx(150 / len(CLASSES), abs=1e-9)


@pytest.fixture
def one_picture(tmp_path, register):
    """Registers a picture with a truth; returns the data set's name and records."""

    def register_picture(truth):
        Image.fromarray(truth).save(tmp_path / "one.png")
        records = [{"file_name": "one.png", "sem_seg_file_name": str(tmp_path / "one.png")}]
        name = f"sem_seg_one_{tmp_path.name}"
        return register(name, records, stuff_classes=CLASSES, ignore_label=IGNORE), records

    return register_picture


def _edge_by_loop(labels, radius):
    """Pixels of whose square around them some pixel has another label or is outside."""
    height, width = labels.shape
    edge = np.zeros(labels.shape, bool)
    for y in range(height):
        for x in range(width):
            for v in range(y - radius, y + radius + 1):
                for u in range(x - radius, x + radius + 1):
                    inside = 0 <= v < height and 0 <= u < width
                    edge[y, x] |= not inside or labels[v, u] != labels[y, x]
    return edge


def test_boundary_iou_against_loops(one_picture):
    pytest.importorskip("cv2")
    rng = np.random.default_rng(2)
    truth = np.kron(rng.integers(0, 3, (4, 6)), np.ones((20, 20))).astype(np.uint8)
    truth[:10, :30] = IGNORE
    prediction = np.roll(np.where(truth == IGNORE, 0, truth), 3, axis=1).astype(int)
    radius = round(0.02 * np.hypot(*truth.shape))
    assert radius == 3
    result = _evaluate(*one_picture(truth), [prediction])
    true_edge, predicted_edge = _edge_by_loop(truth, radius), _edge_by_loop(prediction, radius)
    known, expected = truth != IGNORE, []
    for label in range(3):
        t = (truth == label) & true_edge & known
        p = (prediction == label) & predicted_edge & known
        expected.append(100 * (t & p).sum() / (t | p).sum())
        assert result[f"BoundaryIoU-{CLASSES[label]}"] == pytest.approx(expected[-1], abs=1e-9)
    assert 0 < min(expected) and max(expected) < min(result[f"IoU-{c}"] for c in CLASSES[:3])
    assert result["mBoundaryIoU"] == pytest.approx(np.mean(expected), abs=1e-9)


def test_boundary_of_a_perfect_prediction(one_picture):
    pytest.importorskip("cv2")
    truth = np.kron(np.arange(3), np.ones((30, 30))).astype(np.uint8)
    result = _evaluate(*one_picture(truth), [truth.astype(int)])
    assert result["mBoundaryIoU"] == 100 and np.isnan(result["BoundaryIoU-train"])
