"""Random COCO data sets and detections, and their evaluation by pycocotools and by slenderness."""

from __future__ import annotations

import contextlib
import io
import json
import math

import numpy as np
import pycocotools.mask as mask_util
import torch
from detectron2.data import MetadataCatalog
from detectron2.structures import Boxes, Instances
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from drfpn_da.evaluation import SlenderCOCOEvaluator
from drfpn_da.evaluation.slender_bins import Bin
from drfpn_da.evaluation.slender_matching import Annotations, Detections

SIZE = 90
CLASSES = ("pole", "sign", "rope", "never")
EVERYTHING = (Bin("any", 0.0, math.inf),)


def paint(box):
    mask = np.zeros((SIZE, SIZE), dtype=np.uint8)
    x, y, w, h = (round(v) for v in box)
    mask[max(y, 0) : y + h, max(x, 0) : x + w] = 1
    mask[max(y, 0) : y + h // 3, max(x, 0) : x + w // 4] = 0
    rle = mask_util.encode(np.asfortranarray(mask))
    return {"size": rle["size"], "counts": rle["counts"].decode()}


def random_set(seed, images=9, masks=False, strays=4, crowded=False):
    """Ground truth and detections: crowds, equal scores and boxes, images without either."""
    rng = np.random.default_rng(seed)

    def box():
        w, h = np.exp(rng.uniform(1, 4, 2)).round()
        return [*rng.integers(0, SIZE - 20, 2).astype(float), min(w, 70.0), min(h, 70.0)]

    truth, found = [], []
    for image in range(1, images + 1):
        boxes = [box() for _ in range(rng.integers(0, 7))] if image % 4 else []
        for b in boxes:
            shape = {"bbox": b, "area": b[2] * b[3], "category_id": int(rng.integers(1, 4))}
            truth.append({**shape, "image_id": image, "iscrowd": int(rng.random() < 0.2)})
            if masks:
                truth[-1]["segmentation"] = paint(b)
        own = [a for a in truth if a["image_id"] == image]
        near = [
            ((np.array(a["bbox"]) + rng.integers(-2, 3, 4)).tolist(), a["category_id"])
            for a in own
            for _ in range(2)
        ]
        many = crowded and image == 1
        far = [
            (box(), 1 if many else int(rng.integers(1, 5))) for _ in range(150 if many else strays)
        ]
        for b, category in [*near, *far] if image % 5 else []:
            b = [*b[:2], max(b[2], 1.0), max(b[3], 1.0)]
            score = float(rng.integers(1, 8)) / 8
            found.append({"image_id": image, "category_id": category, "bbox": b, "score": score})
            if masks:
                found[-1]["segmentation"] = paint(b)
    for i, annotation in enumerate(truth, start=1):
        annotation["id"] = i
    return dataset(truth, images), found


def dataset(truth, images):
    return {
        "info": {},
        "images": [
            {"id": i, "width": SIZE, "height": SIZE, "file_name": f"{i}.png"}
            for i in range(1, images + 1)
        ],
        "annotations": truth,
        "categories": [{"id": i + 1, "name": name} for i, name in enumerate(CLASSES)],
    }


def coco_eval(data, found, task, area_ranges=None):
    api = COCO()
    with contextlib.redirect_stdout(io.StringIO()):
        api.dataset = json.loads(json.dumps(data))
        api.createIndex()
        results = json.loads(json.dumps(found))
        if task == "segm":
            for result in results:
                del result["bbox"]
        evaluation = COCOeval(api, api.loadRes(results), task)
        if area_ranges:
            evaluation.params.areaRng = area_ranges
            evaluation.params.areaRngLbl = ["all", *map(str, range(len(area_ranges) - 1))]
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation


def evaluator_for(tmp_path, data, tasks=("bbox",), **options):
    path = tmp_path / f"gt_{len(list(tmp_path.iterdir()))}.json"
    path.write_text(json.dumps(data))
    name = f"slender_{tmp_path.name}_{path.stem}"
    MetadataCatalog.get(name).set(
        json_file=str(path),
        thing_classes=list(CLASSES),
        thing_dataset_id_to_contiguous_id={i + 1: i for i in range(len(CLASSES))},
    )
    return SlenderCOCOEvaluator(name, tasks, **{"distributed": False, **options})


def run(evaluator, data, found, img_ids=None):
    """Feed the evaluator as a model does, all images in order."""
    evaluator.reset()
    for image in data["images"]:
        mine = [f for f in found if f["image_id"] == image["id"]]
        boxes = torch.tensor([f["bbox"] for f in mine], dtype=torch.float64).view(-1, 4)
        boxes = torch.cat([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], dim=1)
        instances = Instances((SIZE, SIZE), pred_boxes=Boxes(boxes))
        instances.pred_boxes.tensor = boxes  # Boxes turns them to float32
        instances.scores = torch.tensor([f["score"] for f in mine], dtype=torch.float64)
        instances.pred_classes = torch.tensor([f["category_id"] - 1 for f in mine]).long()
        if "segm" in evaluator._tasks:
            masks = [mask_util.decode(f["segmentation"]) for f in mine]
            instances.pred_masks = torch.tensor(np.reshape(masks, (-1, SIZE, SIZE))).bool()
        evaluator.process([{"image_id": image["id"]}], [{"instances": instances}])
    return evaluator.evaluate(img_ids)


def arrays(data, found):
    truth = data["annotations"]
    return (
        Annotations(
            np.array([a["image_id"] for a in truth]),
            np.array([a["category_id"] - 1 for a in truth]),
            np.array([a["iscrowd"] == 1 for a in truth]),
        ),
        Detections(
            np.array([f["image_id"] for f in found]),
            np.array([f["category_id"] - 1 for f in found]),
            np.array([f["score"] for f in found]),
        ),
    )


def overlaps_of(evaluation):
    """pycocotools' overlaps by image and index of the class."""
    return {(image, category - 1): iou for (image, category), iou in evaluation.ious.items()}
