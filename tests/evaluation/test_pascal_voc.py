"""Both VOC rules against average precision worked out by hand."""

from __future__ import annotations

import pytest
import torch
from detectron2.data import MetadataCatalog
from detectron2.structures import Boxes, Instances

from drfpn_da.evaluation import PascalVOCEvaluator

OBJECT = (
    "<object><name>car</name><pose>x</pose><truncated>0</truncated><difficult>0</difficult>"
    "<bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox></object>"
)


@pytest.fixture(params=[2007, 2012])
def dataset(request, tmp_path):
    (tmp_path / "Annotations").mkdir()
    (tmp_path / "ImageSets" / "Main").mkdir(parents=True)
    (tmp_path / "ImageSets" / "Main" / "test.txt").write_text("a\n")
    boxes = OBJECT.format(11, 11, 30, 30) + OBJECT.format(51, 51, 90, 90)
    (tmp_path / "Annotations" / "a.xml").write_text(f"<annotation>{boxes}</annotation>")
    name = f"voc_{request.param}_{tmp_path.name}"
    MetadataCatalog.get(name).set(
        dirname=str(tmp_path), split="test", year=request.param, thing_classes=["car"]
    )
    yield name, request.param
    MetadataCatalog.remove(name)


def test_both_rules_by_hand(dataset):
    name, year = dataset
    # Hit, miss, hit: recall 1/2, 1/2, 1; precision 1, 1/2, 2/3.
    instances = Instances((100, 100))
    instances.pred_boxes = Boxes(
        torch.tensor([[10.0, 10, 30, 30], [0.0, 60, 20, 80], [50.0, 50, 90, 90]])
    )
    instances.scores = torch.tensor([0.9, 0.8, 0.7])
    instances.pred_classes = torch.zeros(3, dtype=torch.int64)
    evaluator = PascalVOCEvaluator(name)
    evaluator.reset()
    evaluator.process([{"image_id": "a"}], [{"instances": instances}])
    result = evaluator.evaluate()["bbox"]
    eleven_points = 100 * (6 * 1 + 5 * 2 / 3) / 11  # recall 0, 0.1 ... 0.5, then 0.6 ... 1
    full_curve = 100 * (0.5 * 1 + 0.5 * 2 / 3)
    assert result["AP50-voc07"] == pytest.approx(eleven_points)
    assert result["AP50-voc10"] == pytest.approx(full_curve)
    assert result["AP50"] == result["AP50-voc07" if year == 2007 else "AP50-voc10"]
