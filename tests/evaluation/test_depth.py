"""Depth metrics of generated streets and of made-up records."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog
from PIL import Image

from drfpn_da import model_zoo
from drfpn_da.evaluation import DepthEvaluator, build_evaluators
from drfpn_da.evaluation.depth import read_true_depth

NAME = "streets_mini_clear_sequences"


def evaluate(predict, records):
    evaluator = DepthEvaluator(NAME, distributed=False)
    for record in records:
        evaluator.process([record], [{"depth": predict(read_true_depth(record))}])
    return evaluator.evaluate()["depth"]


def test_truth_in_another_unit_is_perfect():
    records = DatasetCatalog.get(NAME)[:3]
    result = evaluate(lambda truth: truth.clamp(max=1e4) * 0.01, records)
    assert result["AbsRel"] < 1e-9 and result["delta1"] == 1
    assert result["RankCorrelation"] == pytest.approx(1) and result["ScaleSpread"] < 1e-9


def test_constant_depth_and_reversed_depth():
    records = DatasetCatalog.get(NAME)[:3]
    constant = evaluate(torch.ones_like, records)
    reversed_ = evaluate(lambda truth: 1 / truth, records)
    assert constant["RankCorrelation"] == 0 and constant["AbsRel"] > 0.2
    assert reversed_["RankCorrelation"] == pytest.approx(-1)


def test_pixels_out_of_range_do_not_count(tmp_path):
    stored = np.full((2, 4), 2000, np.uint16)
    stored[0] = 0  # infinitely far
    Image.fromarray(stored).save(tmp_path / "d.png")
    record = {
        "file_name": "a.png",
        "disparity_file_name": str(tmp_path / "d.png"),
        "disparity_scale": 100.0,
        "baseline": 0.5,
        "intrinsics": [[200.0, 0, 2], [0, 200.0, 1], [0, 0, 1]],
    }
    truth = read_true_depth(record)
    assert truth[1].tolist() == [200 * 0.5 * 100 / 2000] * 4 and torch.isinf(truth[0]).all()
    prediction = torch.rand(2, 4)
    prediction[1] = 3.0
    evaluator = DepthEvaluator("made up", distributed=False)
    evaluator.process([record], [{"depth": prediction}])
    assert evaluator.evaluate()["depth"]["AbsRel"] == 0
    with pytest.raises(ValueError, match=r"d\.png has 4x2 pixels, the prediction 3x3"):
        evaluator.process([record], [{"depth": torch.rand(3, 3)}])
    with pytest.raises(ValueError, match=r"a\.png: the record has no baseline"):
        evaluator.process([{**record, "baseline": None}], [{"depth": prediction}])


def test_nothing_measured_is_an_error():
    with pytest.raises(ValueError, match="'empty' has no picture"):
        DepthEvaluator("empty", distributed=False).evaluate()


def test_streets_are_measured_as_depth_for_depth_models_only():
    cfg = model_zoo.get_config("depth/streets/mobilenetv2_mini.yaml")
    (evaluator,) = build_evaluators(cfg, NAME)._evaluators
    assert isinstance(evaluator, DepthEvaluator)
    detector = model_zoo.get_config("drfpn/streets/faster_rcnn_mobilenetv2_drfpn_mini.yaml")
    kinds = [type(e) for e in build_evaluators(detector, NAME)._evaluators]
    assert DepthEvaluator not in kinds
