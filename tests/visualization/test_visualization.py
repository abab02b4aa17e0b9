"""Pictures show what they should, at the size they should have."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from detectron2.data import Metadata
from detectron2.structures import Boxes, BoxMode, Instances

from drfpn_da.visualization import (
    contact_sheet,
    curve,
    draw_predictions,
    draw_truth,
    plot_curves,
    read_metrics,
    side_by_side,
)

METADATA = Metadata(
    name="drawn",
    thing_classes=["car"],
    thing_colors=[(255, 0, 0)],
    stuff_classes=["road", "sky"],
    stuff_colors=[(0, 255, 0), (0, 0, 255)],
    ignore_label=255,
)


def _image():
    return np.full((80, 120, 3), 128, np.uint8)


def _instances(*scores):
    boxes = torch.tensor([[5.0 + 80 * i, 20, 35 + 80 * i, 60] for i in range(len(scores))])
    instances = Instances((80, 120), pred_boxes=Boxes(boxes.reshape(-1, 4)))
    instances.scores = torch.tensor(scores)
    instances.pred_classes = torch.zeros(len(scores), dtype=torch.int64)
    return instances


def _changed(drawn):
    return np.abs(drawn.astype(int) - 128).sum(axis=2) > 30


def test_instances_above_the_threshold_are_drawn():
    outputs = {"instances": _instances(0.9, 0.3)}
    both = _changed(draw_predictions(_image(), outputs, METADATA, scale=1))
    first = _changed(draw_predictions(_image(), outputs, METADATA, 0.5, scale=1))
    assert first[:, :40].any()
    assert both[:, 82:].any() and not first[:, 82:].any()
    none = draw_predictions(_image(), {"instances": _instances()}, METADATA, scale=1)
    assert not _changed(none).any()


def test_small_pictures_are_enlarged():
    assert draw_predictions(_image(), {"instances": _instances(0.9)}, METADATA).shape[0] == 320


def test_sem_seg_scores_and_labels_are_the_same_picture():
    labels = torch.zeros(80, 120, dtype=torch.int64)
    labels[:, 60:] = 1
    scores = torch.nn.functional.one_hot(labels, 2).permute(2, 0, 1).float()
    by_scores = draw_predictions(_image(), {"sem_seg": scores}, METADATA, scale=1)
    by_labels = draw_predictions(_image(), {"sem_seg": labels}, METADATA, scale=1)
    assert np.array_equal(by_scores, by_labels)
    assert by_labels[70, 10].argmax() == 1 and by_labels[70, 110].argmax() == 2  # green, blue


def test_panoptic_and_proposals():
    ids = torch.zeros(80, 120, dtype=torch.int32)
    ids[:, 60:] = 1
    segments = [{"id": 1, "isthing": True, "category_id": 0}]
    drawn = draw_predictions(_image(), {"panoptic_seg": (ids, segments)}, METADATA, scale=1)
    assert _changed(drawn)[70, 110]
    boxes = Boxes(torch.tensor([[10.0, 10, 50, 50]]))
    proposals = Instances((80, 120), proposal_boxes=boxes, objectness_logits=torch.ones(1))
    assert _changed(draw_predictions(_image(), {"proposals": proposals}, METADATA, scale=1)).any()


def test_truth():
    annotation = {"bbox": [60, 20, 90, 60], "bbox_mode": BoxMode.XYXY_ABS, "category_id": 0}
    changed = _changed(draw_truth(_image(), {"annotations": [annotation]}, METADATA, scale=1))
    assert changed[15:70, 55:95].any() and not changed[:, :40].any()


def test_contact_sheet_keeps_every_pixel():
    images = [np.full((10 + i, 20, 3), 10 * i, np.uint8) for i in range(5)]
    sheet = contact_sheet(images, columns=2)
    for i, image in enumerate(images):
        assert (sheet == 10 * i).all(axis=2).sum() == image.shape[0] * image.shape[1]
    titled = side_by_side(images, list("abcde"))
    assert titled.shape[1] > 5 * 20 and titled.shape[0] > 14 + 18


def test_contact_sheet_refuses_nonsense():
    with pytest.raises(ValueError, match="at least one"):
        contact_sheet([])
    with pytest.raises(ValueError, match="1 titles for 2 pictures"):
        side_by_side([_image(), _image()], ["a"])


def test_metrics_of_an_interrupted_and_resumed_run(tmp_path):
    path = tmp_path / "metrics.json"
    lines = [
        {"iteration": 19, "total_loss": 2.0},
        {"iteration": 39, "total_loss": 9.0, "bbox/AP": float("nan")},
        {"iteration": 39, "total_loss": 1.0},
    ]
    path.write_text("\n".join(json.dumps(line) for line in lines) + '\n{"iteration": 59, "tot')
    records = read_metrics(path)
    iterations, values = curve(records, "total_loss")
    assert iterations.tolist() == [19, 39] and values.tolist() == [2.0, 1.0]
    assert curve(records, "bbox/AP")[0].size == 0
    path.write_text('{"iteration"\n{"iteration": 1}\n')
    with pytest.raises(ValueError, match="line 1"):
        read_metrics(path)


def test_plot_curves():
    runs = {"a": [{"iteration": 1, "x": 2.0}, {"iteration": 2, "x": 3.0}], "b": []}
    picture = plot_curves(runs, {"X": ["x"], "both": ["x", "y"]}, dpi=50)
    assert picture.shape == (170, 500, 3) and picture.std() > 0
