"""Every COCO backend gives the numbers of pycocotools, also where they are easy to get wrong."""

from __future__ import annotations

import json
import math
import sys

import numpy as np
import pycocotools.mask as mask_util
import pytest
import torch
from detectron2.data import MetadataCatalog
from detectron2.evaluation import coco_evaluation
from detectron2.structures import Boxes, Instances

from drfpn_da.evaluation import FastCOCOEvaluator

SIZE = 96
CATEGORY_IDS = [3, 7, 9, 12]  # the last has no annotation at all


def _mask(box):
    x, y, w, h = (round(v) for v in box)
    mask = np.zeros((SIZE, SIZE), dtype=np.uint8)
    mask[y : y + h, x : x + w] = 1
    mask[y : y + h // 3, x : x + w // 4] = 0
    return mask


def _rle(mask):
    rle = mask_util.encode(np.asfortranarray(mask))
    return {"size": rle["size"], "counts": rle["counts"].decode()}


def _random_boxes(rng, n):
    wh = rng.uniform(6, 60, (n, 2))
    xy = rng.uniform(0, 1, (n, 2)) * (SIZE - wh)
    return np.concatenate([xy, wh], axis=1)


def _keypoints(rng, box, visible=True):
    points = np.zeros((17, 3))
    points[:, :2] = box[:2] + rng.uniform(0, 1, (17, 2)) * box[2:]
    points[:, 2] = rng.integers(0, 3, 17) if visible else 0
    return points


def _dataset(rng, n_images, keypoints):
    annotations = []
    for image_id in range(1, n_images + 1):
        if image_id % 5 == 0:
            continue  # a picture without ground truth
        for box in _random_boxes(rng, rng.integers(1, 7)):
            annotation = {
                "id": len(annotations) + 1,
                "image_id": image_id,
                "category_id": int(rng.choice(CATEGORY_IDS[:1] if keypoints else CATEGORY_IDS[:3])),
                "bbox": box.tolist(),
                "area": float(box[2] * box[3]),
                "iscrowd": int(rng.random() < 0.2),
                "segmentation": _rle(_mask(box)),
            }
            if keypoints:
                points = _keypoints(rng, box, visible=rng.random() < 0.8)
                annotation["keypoints"] = points.flatten().tolist()
                annotation["num_keypoints"] = int((points[:, 2] > 0).sum())
            annotations.append(annotation)
    ids = CATEGORY_IDS[:1] if keypoints else CATEGORY_IDS
    return {
        "info": {},
        "images": [
            {"id": i, "height": SIZE, "width": SIZE, "file_name": f"{i}.png"}
            for i in range(1, n_images + 1)
        ],
        "annotations": annotations,
        "categories": [{"id": i, "name": f"c{i}"} for i in ids],
    }


def _predictions(rng, dataset, keypoints):
    """Jittered ground truth and strays, scores in steps of 0.1 so that many are equal."""
    for image in dataset["images"]:
        if image["id"] % 7 == 3:
            boxes, classes = np.zeros((0, 4)), np.zeros(0, dtype=int)
        else:
            truth = [a for a in dataset["annotations"] if a["image_id"] == image["id"]]
            jittered = [np.array(a["bbox"]) + rng.normal(0, 2, 4) for a in truth for _ in range(2)]
            boxes = np.concatenate([np.reshape(jittered, (-1, 4)), _random_boxes(rng, 4)])
            boxes = np.concatenate([np.clip(boxes[:, :2], 0, SIZE - 6), boxes[:, 2:].clip(4)], 1)
            ids = [c["id"] for c in dataset["categories"]]
            classes = [ids.index(a["category_id"]) for a in truth for _ in range(2)]
            classes = np.array(classes + rng.integers(0, len(ids), 4).tolist())
        instances = Instances((SIZE, SIZE))
        corners = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)
        instances.pred_boxes = Boxes(torch.tensor(corners))
        instances.scores = torch.tensor(np.round(rng.random(len(boxes)), 1))
        instances.pred_classes = torch.tensor(classes, dtype=torch.int64)
        masks = [_mask(box) for box in boxes]
        instances.pred_masks = torch.tensor(np.reshape(masks, (-1, SIZE, SIZE))).bool()
        if keypoints:
            points = [_keypoints(rng, box) for box in boxes]
            instances.pred_keypoints = torch.tensor(np.reshape(points, (-1, 17, 3)))
        yield image, instances


def _evaluate(tmp_path, backend, seed, keypoints=False, **options):
    rng = np.random.default_rng(seed)
    dataset = _dataset(rng, n_images=12, keypoints=keypoints)
    name = f"coco_{backend}_{seed}_{keypoints}_{tmp_path.name}"
    path = tmp_path / f"{name}.json"
    path.write_text(json.dumps(dataset))
    MetadataCatalog.get(name).set(
        json_file=str(path),
        thing_classes=[c["name"] for c in dataset["categories"]],
        thing_dataset_id_to_contiguous_id={c["id"]: i for i, c in enumerate(dataset["categories"])},
    )
    tasks = ("bbox", "segm", "keypoints") if keypoints else ("bbox", "segm")
    evaluator = FastCOCOEvaluator(name, tasks, distributed=False, backend=backend, **options)
    evaluator.reset()
    for image, instances in _predictions(rng, dataset, keypoints):
        evaluator.process([{"image_id": image["id"]}], [{"instances": instances}])
    return evaluator.evaluate()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("keypoints", [False, True])
def test_backends_agree(tmp_path, seed, keypoints):
    pytest.importorskip("faster_coco_eval")
    expected = _evaluate(tmp_path, "pycocotools", seed, keypoints)
    actual = _evaluate(tmp_path, "faster-coco-eval", seed, keypoints)
    assert set(expected) == set(actual)
    assert 5 < expected["bbox"]["AP"] < 95, "the generated detections decide nothing"
    for task, metrics in expected.items():
        assert list(metrics) == list(actual[task])
        for metric, value in metrics.items():
            other = actual[task][metric]
            assert value == pytest.approx(other, abs=1e-9, nan_ok=True), (task, metric)


def test_faster_backend_is_really_used_and_leaves_nothing_behind(tmp_path, monkeypatch):
    faster = pytest.importorskip("faster_coco_eval").COCOeval_faster
    before = coco_evaluation.COCOeval_opt
    calls = []
    original = faster.evaluate
    monkeypatch.setattr(faster, "evaluate", lambda self: (calls.append(1), original(self))[1])
    _evaluate(tmp_path, "faster-coco-eval", 0)
    assert len(calls) == 2  # boxes and masks
    assert coco_evaluation.COCOeval_opt is before
    assert sys.modules["pycocotools.cocoeval"].COCOeval is coco_evaluation.COCOeval


def test_no_detection_keeps_the_keys(tmp_path):
    name = f"coco_nothing_{tmp_path.name}"
    path = tmp_path / "gt.json"
    path.write_text(json.dumps(_dataset(np.random.default_rng(0), 2, False)))
    MetadataCatalog.get(name).set(json_file=str(path), thing_classes=list("abcd"))
    evaluator = FastCOCOEvaluator(name, ("bbox", "segm"), distributed=False)
    evaluator.reset()
    empty = Instances((SIZE, SIZE), pred_boxes=Boxes(torch.zeros(0, 4)))
    empty.scores, empty.pred_classes = torch.zeros(0), torch.zeros(0, dtype=torch.int64)
    evaluator.process([{"image_id": 1}], [{"instances": empty}])
    results = evaluator.evaluate()
    assert math.isnan(results["bbox"]["AP"]) and math.isnan(results["segm"]["AP50"])


def test_unknown_backend_is_refused():
    with pytest.raises(ValueError, match=r"TEST.COCO_BACKEND is 'fastest'.*faster-coco-eval"):
        FastCOCOEvaluator("anything", backend="fastest")
