"""Perfect predictions get 100 whatever ids, areas and crowds the ground truth has or lacks."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.structures import Boxes, BoxMode, Instances
from PIL import Image

from drfpn_da.data import register_coco_json
from drfpn_da.evaluation import (
    FastCOCOEvaluator,
    SlenderCOCOEvaluator,
    VOCOfCOCOEvaluator,
)

# small, medium and large boxes of two classes
BOXES = [[5, 5, 20, 20], [40, 40, 50, 60], [100, 20, 120, 110], [10, 120, 60, 9]]


def perfect(name, evaluators):
    for evaluator in evaluators:
        evaluator.reset()
        for record in DatasetCatalog.get(name):
            found = Instances((record["height"], record["width"]))
            boxes = [
                BoxMode.convert(a["bbox"], a["bbox_mode"], BoxMode.XYXY_ABS)
                for a in record["annotations"]
            ]
            found.pred_boxes = Boxes(torch.tensor(boxes, dtype=torch.float32))
            found.scores = torch.ones(len(boxes))
            found.pred_classes = torch.tensor([a["category_id"] for a in record["annotations"]])
            evaluator.process([record], [{"instances": found}])
    results = {}
    for evaluator in evaluators:
        results.update(evaluator.evaluate())
    return results


def write(folder, image=lambda i: i + 1, category=lambda c: c + 1, number=lambda n: n + 1, **more):
    """Two pictures with four boxes each; ids by functions of the position."""
    annotations, images = [], []
    for i in range(2):
        Image.fromarray(np.zeros((160, 240, 3), np.uint8)).save(folder / f"{i}.png")
        images.append({"id": image(i), "file_name": f"{i}.png", "width": 240, "height": 160})
        for j, box in enumerate(BOXES):
            entry = {"id": number(len(annotations)), "image_id": image(i), "bbox": box}
            area = {"area": box[2] * box[3], "iscrowd": 0}
            entry = {**entry, "category_id": category(j % 2), **area, **more}
            annotations.append({k: v for k, v in entry.items() if v is not ...})
    classes = [{"id": category(c), "name": name} for c, name in enumerate(("box", "disc"))]
    data = {"images": images, "annotations": annotations, "categories": classes}
    (folder / "labels.json").write_text(json.dumps(data))
    return str(folder / "labels.json")


CASES = {
    "sound": {},
    "annotation id 0": {"number": lambda n: n},
    "negative annotation ids": {"number": lambda n: n - 4},
    "text annotation ids": {"number": lambda n: f"a{n}"},
    "picture id 0": {"image": lambda i: i},
    "class id 0": {"category": lambda c: c},
    "text picture ids": {"image": lambda i: f"day {i}/x"},
    "text class ids": {"category": lambda c: f"c{c}"},
    "no area, no iscrowd": {"area": ..., "iscrowd": ...},
    "area null": {"area": None},
}


@pytest.fixture
def name(monkeypatch, tmp_path):
    monkeypatch.setenv("DRFPN_DA_CACHE", str(tmp_path / "cache"))
    name = f"coco_truth_{tmp_path.name}"
    yield name
    for catalog in (DatasetCatalog, MetadataCatalog):
        if name in catalog.list():
            catalog.remove(name)


@pytest.mark.parametrize("backend", ["auto", "pycocotools"])
@pytest.mark.parametrize("case", CASES)
def test_perfect_predictions_are_perfect_in_every_report(tmp_path, name, case, backend):
    register_coco_json(name, write(tmp_path, **CASES[case]), str(tmp_path))
    evaluators = [
        SlenderCOCOEvaluator(name, ("bbox",), False, backend=backend),
        VOCOfCOCOEvaluator(name),
    ]
    results = perfect(name, evaluators)
    assert {k: results["bbox"][k] for k in ("AP", "APs", "APm", "APl")} == pytest.approx(
        {"AP": 100, "APs": 100, "APm": 100, "APl": 100}
    )
    assert results["bbox_slender"]["AP"] == pytest.approx(100)
    assert results["bbox_slender"]["AP-XS"] == pytest.approx(100)
    assert results["voc"]["AP50-voc10"] == pytest.approx(100)


def test_area_of_a_mask_counts_before_that_of_the_box(tmp_path, name):
    """A thin polygon in a large box is small."""
    thin = [[5, 5, 15, 5, 15, 6, 5, 6]]
    register_coco_json(name, write(tmp_path, area=..., segmentation=thin), str(tmp_path))
    evaluator = FastCOCOEvaluator(name, ("bbox",), False)
    # pycocotools paints polygons on its own grid.
    assert all(0 < a["area"] < 32 for a in evaluator._coco_api.anns.values())


def test_text_ids_are_said(tmp_path, name, caplog):
    register_coco_json(name, write(tmp_path, image=str), str(tmp_path))
    evaluator = FastCOCOEvaluator(name, ("bbox",), False)
    assert "are text: pycocotools evaluates it" in caplog.text
    assert not evaluator._use_fast_impl


def test_masks_are_measured_only_where_there_are_some(tmp_path, name, caplog):
    register_coco_json(name, write(tmp_path), str(tmp_path))
    evaluator = FastCOCOEvaluator(name, ("bbox", "segm"), False)
    assert "boxes alone" in caplog.text
    assert list(perfect(name, [evaluator])) == ["bbox"]
