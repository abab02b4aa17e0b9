"""Panoptic quality against numbers worked out by hand."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog
from PIL import Image

from drfpn_da.evaluation import PanopticQualityEvaluator
from drfpn_da.evaluation.panoptic_quality import Segment, count_picture
from drfpn_da.evaluation.panoptic_truth import PanopticTruth

CAR, PERSON, ROAD = (True, 0), (True, 1), (False, 0)


def _rows(*rows):
    """A map of ten columns from (number of rows, segment id) pairs."""
    return np.concatenate([np.full((n, 10), i) for n, i in rows])


def test_by_hand():
    # Truth: car A rows 0-3 (40 px), car B rows 4-5 (20), void row 6, road rows 7-9 (30).
    truth = _rows((4, 1), (2, 2), (1, 0), (3, 3))
    true_segments = [Segment(1, CAR), Segment(2, CAR), Segment(3, ROAD)]
    # Predicted: car rows 0-4 (50: IoU 40/50 with A), person row 5, road rows 6-9 (void row out).
    predicted = _rows((5, 11), (1, 12), (4, 13))
    pred_segments = [Segment(11, CAR), Segment(12, PERSON), Segment(13, ROAD)]
    counts = count_picture(predicted, pred_segments, truth, true_segments)

    car, person, road = counts.of(CAR), counts.of(PERSON), counts.of(ROAD)
    assert (car.true_positives, car.false_positives, car.false_negatives) == (1, 0, 1)
    assert car.iou == pytest.approx(0.8)
    assert car.panoptic_quality == pytest.approx(0.8 / 1.5)
    assert (person.true_positives, person.false_positives) == (0, 1)
    assert (road.true_positives, road.iou) == (1, 1.0)
    summary = counts.summary()
    assert summary["PQ"] == pytest.approx(100 * (0.8 / 1.5 + 0 + 1) / 3)
    assert summary["SQ"] == pytest.approx(100 * (0.8 + 0 + 1) / 3)
    assert summary["RQ"] == pytest.approx(100 * (1 / 1.5 + 0 + 1) / 3)
    assert counts.summary(things=True)["PQ"] == pytest.approx(100 * (0.8 / 1.5) / 2)
    assert counts.summary(things=False) == {"PQ": 100, "SQ": 100, "RQ": 100, "n": 1}


def test_iou_of_one_half_is_no_match():
    truth, predicted = _rows((4, 1), (6, 0)), _rows((2, 1), (8, 0))
    counts = count_picture(predicted, [Segment(1, CAR)], truth, [Segment(1, CAR)])
    assert counts.of(CAR).true_positives == 0
    assert counts.of(CAR).false_negatives == counts.of(CAR).false_positives == 1


def test_prediction_mostly_on_void_or_crowd_is_forgiven():
    truth = _rows((3, 1), (3, 0), (4, 2))
    true_segments = [Segment(1, CAR, is_crowd=True), Segment(2, ROAD)]
    on_both = count_picture(
        _rows((6, 5), (4, 6)), [Segment(5, CAR), Segment(6, ROAD)], truth, true_segments
    )
    assert not on_both.of(CAR).seen
    # Crowd of another category does not excuse, and exactly half is not more than half.
    other = count_picture(
        _rows((6, 5), (4, 6)), [Segment(5, PERSON), Segment(6, ROAD)], truth, true_segments
    )
    assert other.of(PERSON).false_positives == 1


def test_ids_do_not_matter():
    rng = np.random.default_rng(0)
    truth, predicted = rng.integers(0, 4, (9, 11)), rng.integers(0, 4, (9, 11))
    segments = [Segment(1, CAR), Segment(2, CAR), Segment(3, ROAD)]
    renamed = [Segment(s.id * 10**6, s.category) for s in segments]
    plain = count_picture(predicted, segments, truth, segments)
    other = count_picture(predicted * 10**6, renamed, truth * 10**6, renamed)
    assert plain == other


def test_different_sizes_are_refused():
    with pytest.raises(ValueError, match=r"\(2, 2\).*\(3, 3\)"):
        count_picture(np.zeros((2, 2), int), [], np.zeros((3, 3), int), [])


@pytest.fixture
def composed_dataset(tmp_path, register):
    """Truth from semantic labels (road, car, sky; 255 ignored) and one car mask."""
    labels = _rows((4, 0), (3, 1), (2, 2), (1, 255)).astype(np.uint8)
    Image.fromarray(labels).save(tmp_path / "labels.png")
    car = (labels == 1) & (np.arange(10) < 8)
    record = {
        "file_name": "a.png",
        "image_id": 7,
        "sem_seg_file_name": str(tmp_path / "labels.png"),
        "annotations": [{"category_id": 0, "segmentation": car, "iscrowd": 0}],
    }
    name = f"panoptic_{tmp_path.name}"
    classes = {"thing_classes": ["car"], "stuff_classes": ["road", "car", "sky"]}
    return register(name, [record], ignore_label=255, **classes), labels, car


def test_composed_truth(composed_dataset):
    name, labels, car = composed_dataset
    predicted = np.where(car, 1, np.select([labels == 0, labels == 2], [2, 3], 4))
    infos = [
        {"id": 1, "isthing": True, "category_id": 0},
        {"id": 2, "isthing": False, "category_id": 0},
        {"id": 3, "isthing": False, "category_id": 2},
        # The semantic class of a thing, outside all instances: not a panoptic category.
        {"id": 4, "isthing": False, "category_id": 1},
    ]
    evaluator = PanopticQualityEvaluator(name, distributed=False)
    evaluator.process([{"image_id": 7}], [{"panoptic_seg": (torch.tensor(predicted), infos)}])
    result = evaluator.evaluate()["panoptic_seg"]
    assert result["PQ"] == result["PQ_th"] == result["PQ_st"] == 100
    evaluator.reset()
    assert np.isnan(evaluator.evaluate()["panoptic_seg"]["PQ"])


def test_png_truth_and_maps_of_labels(tmp_path, register):
    """Panoptic PNG files, and models that return category * divisor + instance without infos."""
    ids = _rows((5, 300), (5, 70000))
    rgb = np.stack([ids % 256, ids // 256 % 256, ids // 256**2], axis=-1).astype(np.uint8)
    Image.fromarray(rgb).save(tmp_path / "pan.png")
    record = {
        "file_name": "a.jpg",
        "image_id": 1,
        "pan_seg_file_name": str(tmp_path / "pan.png"),
        "segments_info": [
            {"id": 300, "category_id": 1, "isthing": True},
            {"id": 70000, "category_id": 0, "isthing": False},
        ],
    }
    name = f"panoptic_png_{tmp_path.name}"
    register(
        name,
        [record],
        thing_dataset_id_to_contiguous_id={26: 1},
        stuff_dataset_id_to_contiguous_id={7: 0},
        stuff_classes=["road", "car"],
        label_divisor=1000,
    )
    evaluator = PanopticQualityEvaluator(name, distributed=False)
    labels = torch.tensor(_rows((4, 1000 + 3), (1, -1), (5, 0)))
    evaluator.process([{"image_id": 1}], [{"panoptic_seg": (labels, None)}])
    result = evaluator.evaluate()["panoptic_seg"]
    assert result["PQ_th"] == pytest.approx(80) and result["PQ_st"] == pytest.approx(100)


def test_dataset_without_panoptic_truth_is_refused(tmp_path, register):
    name = f"panoptic_none_{tmp_path.name}"
    register(name, [{"file_name": "a.png", "image_id": 1}])
    with pytest.raises(ValueError, match=f"'{name}' has no panoptic ground truth"):
        PanopticQualityEvaluator(name)


def test_truth_of_real_coco_pictures_scores_100():
    root = os.environ.get("DETECTRON2_DATASETS")
    if not root or not os.path.isdir(os.path.join(root, "coco128")):
        pytest.skip("coco128 is not under DETECTRON2_DATASETS")
    import drfpn_da  # noqa: F401  registers the dataset

    name = "coco128_val"
    truth, evaluator = PanopticTruth(name), PanopticQualityEvaluator(name, distributed=False)
    for record in DatasetCatalog.get(name)[:5]:
        ids, segments = truth[record["image_id"]]
        infos = [
            {"id": s.id, "isthing": s.category[0], "category_id": s.category[1]}
            for s in segments
            if not s.is_crowd
        ]
        evaluator.process([record], [{"panoptic_seg": (torch.tensor(ids), infos)}])
    result = evaluator.evaluate()["panoptic_seg"]
    assert result["PQ_th"] == result["PQ_st"] == 100
