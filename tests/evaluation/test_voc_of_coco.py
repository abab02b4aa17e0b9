"""VOC metrics from a COCO JSON equal those of detectron2's evaluator on the same set as XML."""

from __future__ import annotations

import json

import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.structures import Boxes, Instances

from drfpn_da.config.setup import base_cfg
from drfpn_da.evaluation import PascalVOCEvaluator, VOCOfCOCOEvaluator, build_evaluators

from ..tiny_benchmarks import write_voc

OBJECTS = {
    "x": [("cat", 0, 11, 11, 30, 30), ("dog", 1, 1, 1, 10, 10), ("cat", 0, 40, 5, 60, 40)],
    "y": [("dog", 0, 5, 5, 25, 45), ("person", 0, 30, 10, 64, 48)],
    "z": [],
}


@pytest.fixture
def sets(tmp_path, monkeypatch):
    """The name of a set in COCO's format and of the same set read by stock detectron2."""
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    monkeypatch.setenv("DRFPN_DA_CACHE", str(tmp_path / "cache"))
    write_voc(tmp_path / "comic", OBJECTS, {"test": list(OBJECTS)})
    stock = f"stock_{tmp_path.name}"
    classes = MetadataCatalog.get("comic2k_test").thing_classes
    MetadataCatalog.get(stock).set(
        dirname=str(tmp_path / "comic"), split="test", year=2007, thing_classes=classes
    )
    yield "comic2k_test", stock
    MetadataCatalog.remove(stock)


def _detections(generator):
    """Objects found more or less well, missed, found twice, and found where nothing is."""
    count = 12
    corner = torch.rand(count, 2, generator=generator) * torch.tensor([40.0, 20.0])
    side = 5 + torch.rand(count, 2, generator=generator) * 20
    boxes = torch.cat([corner, corner + side], dim=1)
    boxes[:5] = torch.tensor(
        [[10.0, 10, 30, 30], [11.0, 9, 30, 31], [40.0, 4, 60, 38], [0.0, 0, 10, 10], [4, 4, 25, 45]]
    )
    instances = Instances((48, 64))
    instances.pred_boxes = Boxes(boxes)
    instances.scores = torch.rand(count, generator=generator)
    instances.pred_classes = torch.randint(3, 6, (count,), generator=generator)
    return instances


def _evaluate(evaluator, ids, seed):
    generator = torch.Generator().manual_seed(seed)
    evaluator.reset()
    for image_id in ids:
        evaluator.process([{"image_id": image_id}], [{"instances": _detections(generator)}])
    return evaluator.evaluate()


@pytest.mark.parametrize("seed", [0, 1])
def test_equals_the_xml_path(sets, seed):
    name, stock = sets
    records = DatasetCatalog.get(name)
    ours = _evaluate(VOCOfCOCOEvaluator(name), [r["image_id"] for r in records], seed)
    theirs = _evaluate(PascalVOCEvaluator(stock), list(OBJECTS), seed)
    assert set(ours) == {"voc"}
    assert ours["voc"] == pytest.approx(dict(theirs["bbox"]), nan_ok=True)


def test_a_benchmark_reports_coco_and_voc_under_their_names(sets):
    name, _ = sets
    records = DatasetCatalog.get(name)
    result = _evaluate(build_evaluators(base_cfg(), name), [r["image_id"] for r in records], 0)
    assert set(result) == {"bbox", "voc"}
    assert 0 < result["bbox"]["AP50"] < 100
    assert 0 < result["voc"]["AP50-voc07"] < 100


def test_crowds_are_difficult(tmp_path, monkeypatch):
    """Two cars and a crowd; one car is found, and two detections lie on the crowd."""
    monkeypatch.setenv("DRFPN_DA_CACHE", str(tmp_path / "cache"))
    boxes = [([0, 0, 20, 20], 0), ([30, 0, 20, 20], 0), ([0, 30, 60, 15], 1)]
    data = {
        "images": [{"id": 7, "file_name": "a.png", "width": 64, "height": 48}],
        "categories": [{"id": 1, "name": "car"}],
        "annotations": [
            {"id": i, "image_id": 7, "category_id": 1, "bbox": box, "iscrowd": crowd}
            for i, (box, crowd) in enumerate(boxes)
        ],
    }
    (tmp_path / "gt.json").write_text(json.dumps(data))
    name = f"crowd_{tmp_path.name}"
    MetadataCatalog.get(name).set(json_file=str(tmp_path / "gt.json"), thing_classes=["car"])
    instances = Instances((48, 64))
    instances.pred_boxes = Boxes(torch.tensor([[0.0, 30, 60, 45], [0, 31, 60, 45], [0, 0, 20, 20]]))
    instances.scores = torch.tensor([0.9, 0.8, 0.7])
    instances.pred_classes = torch.zeros(3, dtype=torch.int64)
    evaluator = VOCOfCOCOEvaluator(name)
    evaluator.reset()
    evaluator.process([{"image_id": 7}], [{"instances": instances}])
    # Precision 1 up to recall 1/2, that is at 0, 0.1 ... 0.5.
    assert evaluator.evaluate()["voc"]["AP50-voc07"] == pytest.approx(100 * 6 / 11)
    MetadataCatalog.remove(name)


def test_other_classes_than_the_metadata_say_so(sets, tmp_path):
    (tmp_path / "gt.json").write_text(
        json.dumps({"images": [], "annotations": [], "categories": [{"id": 1, "name": "van"}]})
    )
    name = f"van_{tmp_path.name}"
    MetadataCatalog.get(name).set(json_file=str(tmp_path / "gt.json"), thing_classes=["car"])
    with pytest.raises(ValueError, match=r"gt\.json has the classes \['van'\]"):
        VOCOfCOCOEvaluator(name)
    MetadataCatalog.remove(name)
