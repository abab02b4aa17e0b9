"""Quality of pixel labels, with numbers worked out by hand."""

import math

import numpy as np
import pytest
import torch
from PIL import Image

from drfpn_da.evaluation import DenseLabelQualityEvaluator
from drfpn_da.evaluation.dense_label_quality import RIGHT, pack_labels, unpack_labels

NAME = "tests_dense_label_quality"


@pytest.fixture
def dataset(tmp_path, register):
    # Six known pixels: classes 0, 0, 0, 0, 1, 1; two ignored.
    labels = np.array([[0, 0, 0, 0], [1, 1, 255, 255]], dtype=np.uint8)
    Image.fromarray(labels).save(tmp_path / "labels.png")
    record = {"file_name": "a.png", "sem_seg_file_name": str(tmp_path / "labels.png")}
    return register(NAME, [record], stuff_classes=["a", "b", "c"], ignore_label=255)


def logits(rows):
    """(3, 2, 4) logits whose softmax gives each pixel's class its probability."""
    scores = torch.full((3, 8), 0.0)
    for i, (number, probability) in enumerate(rows):
        scores[:, i] = (1 - probability) / 2
        scores[number, i] = probability
    return scores.log().view(3, 2, 4)


FIRST = [(0, 0.9), (0, 0.9), (1, 0.9), (2, 0.62), (1, 0.62), (0, 0.62), (2, 0.9), (2, 0.9)]
LATER = [(0, 0.9), (0, 0.9), (1, 0.9), (0, 0.9), (1, 0.9), (2, 0.62), (2, 0.9), (2, 0.9)]


def rounds(dataset, threshold):
    first = {}
    for rows in (FIRST, LATER):
        evaluator = DenseLabelQualityEvaluator(
            dataset, threshold, stride=1, distributed=False, first=first
        )
        evaluator.process([{"file_name": "a.png"}], [{"sem_seg": logits(rows)}])
        yield evaluator.evaluate()["pseudo_label"], evaluator


def test_by_hand(dataset):
    (now, evaluator), (later, _) = rounds(dataset, 0.8)
    # Above 0.8: three of six, two of them right, the third says 1.
    assert now["labelled_share"] == pytest.approx(50)
    assert now["accuracy"] == pytest.approx(100 * 2 / 3)
    # Class 0: 2 of 4 found, none false; class 1: none found, one false.
    assert now["mIoU"] == pytest.approx(100 * (2 / 4 + 0) / 2)
    # Three at 0.9, two right; three at 0.62, one right.
    error = (abs(2 / 3 - 0.9) + abs(1 / 3 - 0.62)) / 2
    assert now["calibration_error"] == pytest.approx(100 * error, rel=1e-5)
    p, q = [5 / 9, 3 / 9, 1 / 9], [3 / 6, 2 / 6, 1 / 6]
    assert now["class_divergence"] == pytest.approx(sum(a * math.log(a / b) for a, b in zip(p, q)))
    assert now["stickiness"] == 100
    # Wrong at first: the third, fourth and sixth known pixel; the third is the same wrong class.
    assert later["stickiness"] == pytest.approx(100 / 3)
    assert [round(one["accuracy"], 3) for one in evaluator.reliability] == [0.333, 0.667]
    assert sum(one["share"] for one in evaluator.reliability) == pytest.approx(1)


def test_the_first_round_is_kept_small(tmp_path, register):
    """A checkpoint holds it: the wrong labels alone, which lie together, compressed."""
    truth = np.zeros((200, 300), dtype=np.uint8)
    Image.fromarray(truth).save(tmp_path / "labels.png")
    record = {"file_name": "a.png", "sem_seg_file_name": str(tmp_path / "labels.png")}
    register(NAME, [record], stuff_classes=["a", "b", "c"], ignore_label=255)
    labels = torch.zeros(200, 300, dtype=torch.long)
    labels[50:100, 40:200] = 2
    scores = torch.nn.functional.one_hot(labels, 3).permute(2, 0, 1).float()
    first = {}
    DenseLabelQualityEvaluator(NAME, stride=1, distributed=False, first=first).process(
        [{"file_name": "a.png"}], [{"sem_seg": scores}]
    )
    assert first["a.png"].numel() * first["a.png"].element_size() < labels.numel() / 50
    assert torch.equal(unpack_labels(first["a.png"]), labels.where(labels > 0, RIGHT).flatten())


@pytest.mark.parametrize("count", [0, 1, 1000])
def test_labels_are_packed_without_loss(count):
    labels = torch.randint(-1, 900, (count,))
    assert torch.equal(unpack_labels(pack_labels(labels)), labels)


def test_first_rounds_of_older_checkpoints_are_read(dataset):
    """They held the labels of all known pixels as they are."""
    first = {"a.png": torch.tensor([number for number, _ in FIRST[:6]], dtype=torch.int16)}
    evaluator = DenseLabelQualityEvaluator(dataset, stride=1, distributed=False, first=first)
    evaluator.process([{"file_name": "a.png"}], [{"sem_seg": logits(LATER)}])
    assert evaluator.evaluate()["pseudo_label"]["stickiness"] == pytest.approx(100 / 3)


def test_refusals(dataset):
    with pytest.raises(ValueError, match=r"threshold is 1\.5"):
        DenseLabelQualityEvaluator(dataset, 1.5)
    with pytest.raises(ValueError, match="no pixel"):
        DenseLabelQualityEvaluator(dataset, distributed=False).evaluate()
