"""Scores without labels, by hand; and their correlation with true metrics."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from detectron2.data import MetadataCatalog
from detectron2.structures import Boxes, Instances
from detectron2.utils import comm

from drfpn_da.config.setup import base_cfg
from drfpn_da.evaluation import (
    OTHER_EVALUATION,
    LabelFreeEvaluator,
    build_evaluators,
    predicted_kinds,
    rank_correlations,
    selection_mode,
    spearman,
)
from drfpn_da.evaluation.label_free_scores import binary_entropy, match_instances
from tests.two_processes import run_in_two_processes


def instances(*detections):
    """Detections (x0, y0, x1, y1, class, score)."""
    table = torch.tensor(detections, dtype=torch.float64).reshape(-1, 6)
    return Instances(
        (100, 100),
        pred_boxes=Boxes(table[:, :4].float()),
        pred_classes=table[:, 4].long(),
        scores=table[:, 5].float(),
    )


def evaluate(*outputs, name="label_free_unknown", threshold=0.3):
    evaluator = LabelFreeEvaluator(name, threshold)
    evaluator.process([{}] * len(outputs), list(outputs))
    return evaluator.evaluate()["label_free"]


FEW = instances((0, 0, 9, 9, 0, 0.9))
MANY = instances((0, 0, 9, 9, 0, 0.5), (20, 20, 30, 30, 2, 0.4), (40, 0, 50, 9, 1, 0.75))
OUTPUTS = [
    {"instances": FEW, OTHER_EVALUATION: {"instances": MANY}},
    {"instances": MANY, OTHER_EVALUATION: {"instances": MANY}},
]


def entropy(p):
    return -(p * math.log2(p) + (1 - p) * math.log2(1 - p))


def test_binary_entropy():
    values = binary_entropy(torch.tensor([0.0, 0.5, 1.0, 0.25]))
    assert values.tolist() == pytest.approx([0, 1, 0, entropy(0.25)])


def test_confidence_entropy_and_shares():
    first = instances((0, 0, 9, 9, 0, 0.9), (20, 20, 30, 30, 2, 0.4), (50, 50, 60, 60, 1, 0.2))
    scores = evaluate({"instances": first}, {"instances": instances()})
    assert scores["confidence"] == pytest.approx(0.65)
    assert scores["entropy"] == pytest.approx((entropy(0.9) + entropy(0.4)) / 2)
    assert scores["entropy_per_picture"] == pytest.approx((entropy(0.9) + entropy(0.4)) / 2)
    assert scores["detections"] == 1.0
    assert [scores[f"share-{i}"] for i in range(3)] == [0.5, 0.0, 0.5]
    assert "agreement" not in scores


def test_shares_have_the_names_of_the_classes():
    MetadataCatalog.get("label_free_named").set(thing_classes=["car", "bus"])
    scores = evaluate({"instances": instances((0, 0, 9, 9, 1, 0.9))}, name="label_free_named")
    assert scores["share-car"] == 0 and scores["share-bus"] == 1
    MetadataCatalog.remove("label_free_named")


def test_agreement_of_a_known_pair():
    """One pair of IoU 0.6 agrees, one has another class, one overlaps too little."""
    first = instances(
        (0, 0, 10, 10, 0, 0.9),
        (40, 40, 50, 50, 1, 0.8),
        (70, 0, 80, 10, 0, 0.5),
        (0, 0, 9, 9, 0, 0.1),
    )
    second = instances((0, 0, 10, 6, 0, 0.7), (40, 40, 50, 50, 0, 0.6), (70, 0, 80, 4, 0, 0.4))
    scores = evaluate({"instances": first, OTHER_EVALUATION: {"instances": second}})
    assert scores["agreement"] == pytest.approx((0.9 + 0.7) / (0.9 + 0.8 + 0.5 + 0.7 + 0.6 + 0.4))
    assert scores["stability"] == pytest.approx(0.6)
    turned = evaluate({"instances": second, OTHER_EVALUATION: {"instances": first}})
    assert turned["agreement"] == pytest.approx(scores["agreement"])


def test_each_detection_is_paired_once_with_what_it_overlaps_most():
    first = instances((0, 0, 10, 8, 0, 0.9), (0, 0, 10, 10, 0, 0.3))
    second = instances((0, 0, 10, 9, 0, 0.5))
    rows, columns, overlaps = match_instances(first, second)
    assert (rows.tolist(), columns.tolist()) == ([1], [0])
    assert overlaps.tolist() == pytest.approx([0.9])


def test_agreement_at_its_bounds():
    some = instances((0, 0, 10, 10, 0, 0.9), (40, 40, 50, 50, 1, 0.8))
    assert evaluate({"instances": some, OTHER_EVALUATION: {"instances": some}})["agreement"] == 1
    nothing = {"instances": some, OTHER_EVALUATION: {"instances": instances()}}
    assert evaluate(nothing)["agreement"] == 0
    silent = evaluate({"instances": instances(), OTHER_EVALUATION: {"instances": instances()}})
    assert math.isnan(silent["agreement"]) and math.isnan(silent["confidence"])
    assert silent["entropy_per_picture"] == 0 and silent["detections"] == 0


def test_pixels():
    """Two pixels, three classes: probabilities (.8, .1, .1) and uniform."""
    logits = torch.log(torch.tensor([[0.8, 1 / 3], [0.1, 1 / 3], [0.1, 1 / 3]])).view(3, 1, 2)
    logits[2, 0, 1] += 1e-4  # the uniform pixel is class 2
    other = torch.log(torch.tensor([[0.6, 0.5], [0.2, 0.3], [0.2, 0.2]])).view(3, 1, 2)
    scores = evaluate({"sem_seg": logits, OTHER_EVALUATION: {"sem_seg": other}})
    assert scores["pixel_confidence"] == pytest.approx((0.8 + 1 / 3) / 2, abs=1e-4)
    first = -(0.8 * math.log(0.8) + 0.2 * math.log(0.1)) / math.log(3)
    assert scores["pixel_entropy"] == pytest.approx((first + 1) / 2, abs=1e-4)
    expected = (0.8 + 0.6) / (0.8 + 0.6 + 1 / 3 + 0.5)
    assert scores["pixel_agreement"] == pytest.approx(expected, abs=1e-4)
    assert [scores[f"pixel_share-{i}"] for i in range(3)] == [0.5, 0, 0.5]


def half_of_the_pictures(folder):
    """What each of two processes runs."""
    evaluator = LabelFreeEvaluator("label_free_unknown")
    evaluator.process([{}], [OUTPUTS[comm.get_rank()]])
    scores = evaluator.evaluate()
    if comm.is_main_process():
        (folder / "scores.json").write_text(json.dumps(scores["label_free"]))
    else:
        assert scores is None


@pytest.mark.slow
def test_two_processes_equal_one(tmp_path):
    run_in_two_processes(half_of_the_pictures, tmp_path)
    assert json.loads((tmp_path / "scores.json").read_text()) == evaluate(*OUTPUTS)


def test_reset_forgets():
    evaluator = LabelFreeEvaluator("label_free_unknown")
    evaluator.process([{}], [{"instances": instances((0, 0, 9, 9, 0, 0.9))}])
    evaluator.reset()
    evaluator.process([{}], [{"instances": instances((0, 0, 9, 9, 0, 0.5))}])
    assert evaluator.evaluate()["label_free"]["confidence"] == 0.5


@pytest.mark.parametrize(
    ("metric", "mode"),
    [
        ("bbox/AP", "max"),
        ("label_free/agreement", "max"),
        ("fog/label_free/entropy", "min"),
        ("label_free_teacher/entropy_per_picture", "min"),
        ("label_free/pixel_confidence", "max"),
        ("my_label_free_set/bbox/AP", "max"),
    ],
)
def test_direction_of_metrics(metric, mode):
    assert selection_mode(metric) == mode


def test_scores_without_direction_are_refused():
    with pytest.raises(ValueError, match=r"neither more nor less is better.*label_free/agreement"):
        selection_mode("label_free/detections")


def test_pictures_without_labels_are_evaluated_if_asked():
    cfg = base_cfg()
    with pytest.raises(KeyError, match=r"TEST\.LABEL_FREE\.ENABLED True"):
        build_evaluators(cfg, "label_free_unknown")
    cfg.TEST.LABEL_FREE.ENABLED = True
    (only,) = build_evaluators(cfg, "label_free_unknown")._evaluators
    assert isinstance(only, LabelFreeEvaluator)


def test_adaptive_models_predict_what_their_detector_predicts():
    cfg = base_cfg()
    cfg.MODEL.META_ARCHITECTURE, cfg.MODEL.ADAPT.DETECTOR = "AdaptiveModel", "SemanticSegmentor"
    assert predicted_kinds(cfg) == {"sem_seg"}


def test_spearman_equals_scipy():
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(0)
    for _ in range(5):
        x, y = rng.integers(0, 6, 20).astype(float), rng.normal(size=20)
        assert spearman(x, y) == pytest.approx(stats.spearmanr(x, y).statistic)
    assert math.isnan(spearman(np.ones(5), np.arange(5.0)))
    assert math.isnan(spearman(np.arange(2.0), np.arange(2.0)))


def test_rank_correlations_of_two_runs(tmp_path):
    def records(agreement, entropies, truths):
        return [
            {
                "iteration": i,
                "fog/label_free/agreement": a,
                "fog/label_free/entropy": e,
                "fog/label_free/detections": 2.0,
                "fog/bbox/AP": t,
                "clear/bbox/AP": -t,
                "clear/label_free/agreement": a,
            }
            for i, (a, e, t) in enumerate(zip(agreement, entropies, truths))
        ]

    first = records([0.1, 0.2, 0.3, 0.4], [0.9, 0.8, 0.7, 0.6], [10.0, 20.0, 30.0, 40.0])
    second = records([0.5, 0.9, 0.7], [0.9, 0.8, float("nan")], [50.0, 60.0, 70.0])
    path = tmp_path / "metrics.json"
    path.write_text("\n".join(json.dumps(record) for record in first))
    found = rank_correlations([path, second], "fog")
    agreement, entropies = found["label_free/agreement"], found["label_free/entropy"]
    assert agreement.evaluations == 7 and agreement.per_run == pytest.approx((1.0, 0.5))
    # Ranks 1..5, 7, 6 against 1..7: 1 - 6 * 2 / (7 * 48).
    assert agreement.correlation == pytest.approx(1 - 12 / 336)
    # The first run chooses its best; the second its evaluation of AP 60.
    assert agreement.regret == pytest.approx(5)
    assert entropies.evaluations == 6 and entropies.per_run[0] == pytest.approx(1.0)
    assert math.isnan(entropies.per_run[1]), "two evaluations have no rank correlation"
    assert math.isnan(found["label_free/detections"].correlation)
    assert math.isnan(found["label_free/detections"].regret)
    assert set(found) == {"label_free/agreement", "label_free/entropy", "label_free/detections"}
    with pytest.raises(ValueError, match="no evaluation has both 'bbox/AP'"):
        rank_correlations([path])
