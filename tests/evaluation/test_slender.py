"""Metrics by slenderness: equal to pycocotools where they must be, without the paper's defects."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import math

import numpy as np
import pycocotools.mask as mask_util
import pytest
import torch
from detectron2.data import MetadataCatalog
from detectron2.structures import Boxes, Instances

from drfpn_da.config.setup import base_cfg
from drfpn_da.evaluation import SlenderCOCOEvaluator, build_evaluators
from drfpn_da.evaluation.slender_bins import SLENDERNESS_BINS, Bin, parse_bins
from drfpn_da.evaluation.slender_matching import find_overlaps, match
from drfpn_da.evaluation.slender_metrics import THRESHOLDS, precision_recall
from drfpn_da.evaluation.slender_recall import best_overlaps
from tests.golden_fill import published
from tests.slender_sets import (
    CLASSES,
    EVERYTHING,
    SIZE,
    arrays,
    coco_eval,
    dataset,
    evaluator_for,
    overlaps_of,
    random_set,
    run,
)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("task", ["bbox", "segm"])
def test_by_area_every_number_is_that_of_pycocotools(seed, task):
    """Ties, crowds, empty images, absent classes, over 100 detections; areas as the measure."""
    data, found = random_set(seed, masks=task == "segm", crowded=True)
    ranges = [[0, 1e10], [0, 300], [300, 1000], [1000, 1e10]]
    expected = coco_eval(data, found, task, ranges)
    assert sum(f["image_id"] == 1 for f in found) > 100

    truth, detections = arrays(data, found)
    overlaps = find_overlaps(truth, detections, overlaps_of(expected), THRESHOLDS[0])
    true_area = np.array([a["area"] for a in data["annotations"]])[overlaps.truth_order]
    if task == "segm":
        found_area = mask_util.area([f["segmentation"] for f in found]).astype(float)
    else:
        found_area = np.array([f["bbox"][2] * f["bbox"][3] for f in found])
    found_area = found_area[overlaps.found_order]
    ignored = np.stack([(true_area < low) | (true_area > high) for low, high in ranges])
    ignored |= overlaps.truth.crowd
    outside = np.stack([(found_area < low) | (found_area > high) for low, high in ranges])
    numbers = precision_recall(
        overlaps, match(overlaps, ignored, THRESHOLDS), ignored, outside, len(CLASSES)
    )
    for name, mine in (("precision", numbers.precision[..., None]), ("recall", numbers.recall)):
        theirs = expected.eval[name]
        theirs = theirs[..., -1:] if name == "precision" else theirs
        np.testing.assert_allclose(np.nan_to_num(mine, nan=-1), theirs, rtol=0, atol=1e-12)
    assert 0.05 < np.nanmean(numbers.precision) < 0.9, "the generated detections decide nothing"


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("task", ["bbox", "segm"])
def test_one_bin_for_everything_is_the_ordinary_evaluation(tmp_path, seed, task):
    data, found = random_set(seed, masks=task == "segm")
    results = run(evaluator_for(tmp_path, data, (task,), bins=EVERYTHING), data, found)
    expected = coco_eval(data, found, task)
    expected.params.maxDets = [1, 10, 100]
    with contextlib.redirect_stdout(io.StringIO()):
        expected.summarize()
    slender = results[f"{task}_slender"]
    names = {"AP": 0, "AP50": 1, "AP75": 2, "AR@1": 6, "AR@10": 7, "AR@100": 8}
    for name, at in names.items():
        assert slender[name] == pytest.approx(100 * expected.stats[at], abs=1e-10)
        assert slender[f"{name}-any"] == pytest.approx(100 * expected.stats[at], abs=1e-10)
    assert results[task]["AP"] == pytest.approx(slender["AP"], abs=1e-10), "beside the ordinary one"


@pytest.mark.parametrize("which", ["detections_tall", "detections_mixed"])
@pytest.mark.parametrize("rule", ["symmetric_rule", "published_rule"])
def test_published_numbers(tmp_path, which, rule):
    golden = published("slender")[which]
    if rule not in golden:
        rule = "symmetric_rule"  # tall boxes alone: both rules are the same
        legacy = True
    else:
        legacy = rule == "published_rule"
    keys = ["image_id", "category_id", "x", "y", "w", "h", "iscrowd"]
    truth = [dict(zip(keys, row)) for row in golden["gt"]]
    found = [dict(zip([*keys[:-1], "score"], row)) for row in golden["det"]]
    for i, item in enumerate([*truth, *found], start=1):
        item["bbox"] = [float(item[k]) for k in "xywh"]
        item.update(id=i, area=item["w"] * item["h"])
    data = dataset(truth, golden["images"])
    results = run(evaluator_for(tmp_path, data, legacy_fp_rule=legacy), data, found)["bbox_slender"]
    for subset, expected in golden[rule].items():
        suffix = "" if subset == "all" else f"-{subset}"
        for metric in ("AP", "AP50", "AP75", "AR@1", "AR@10", "AR@100"):
            mine = results[metric + suffix] / 100
            assert mine == pytest.approx(expected[metric], abs=1e-12), (subset, metric)
        if subset != "all":
            by_class = [results[f"AP-{subset}-{name}"] / 100 for name in CLASSES[:3]]
            assert by_class == pytest.approx(expected["AP_per_class"], abs=1e-12)
        assert results[f"count-{subset}"] == golden["gt_count_non_crowd"][subset]
    assert math.isnan(results["AP-XS-never"])


def test_bins_share_out_all_annotations_but_crowds(tmp_path):
    data, found = random_set(5, images=30)
    results = run(evaluator_for(tmp_path, data), data, found)["bbox_slender"]
    total = sum(not a["iscrowd"] for a in data["annotations"])
    assert results["count-all"] == total > 30
    assert sum(results[f"count-{n}"] for n in ("XS", "S", "R")) == total
    assert sum(results[f"count-{n}"] for n in ("XT", "T", "M", "W", "XW")) == total


def test_edges_belong_to_the_upper_bin(tmp_path):
    sides = {"XS": (19.999, 100), "S": (20, 100), "also S": (29.999, 90), "R": (30, 90)}
    truth = [
        {"id": i, "image_id": 1, "category_id": 1, "iscrowd": 0, "bbox": [0.1, 0.3, *box]}
        for i, box in enumerate(sides.values(), start=1)
    ]
    data = dataset(truth, 1)
    evaluator = evaluator_for(tmp_path, data, backend="pycocotools")
    for annotation in evaluator._coco_api.anns.values():
        annotation["area"] = 1.0
    results = run(evaluator, data, [{**truth[0], "score": 0.5}])["bbox_slender"]
    assert [results[f"count-{n}"] for n in ("XS", "S", "R")] == [1, 2, 1]


def transposed(data, found):
    def flip(items):
        return [{**i, "bbox": [i["bbox"][k] for k in (1, 0, 3, 2)]} for i in items]

    return {**data, "annotations": flip(data["annotations"])}, flip(found)


def test_transposing_all_images_changes_nothing(tmp_path):
    data, found = random_set(8, images=20)
    before = run(evaluator_for(tmp_path, data), data, found)["bbox_slender"]
    data, found = transposed(data, found)
    after = run(evaluator_for(tmp_path, data), data, found)["bbox_slender"]
    for name in before:
        if not any(f"-{aspect}" in name for aspect in ("XT", "T", "M", "W", "XW")):
            assert after[name] == pytest.approx(before[name], abs=1e-9, nan_ok=True), name
    assert before["AP-XS"] > 0 and before["AP-XT"] != before["AP-XW"]


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("legacy", [False, True])
def test_wide_and_tall_errors_count_the_same(tmp_path, wide, legacy):
    """One slender object is found after an error elsewhere: precision is 1/2, forgiven or not."""
    error = [10.0, 60, 60, 6] if wide else [60.0, 10, 6, 60]
    truth = [{"id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "area": 300.0}]
    truth[0]["bbox"] = [5.0, 5.0, 5.0, 60.0]
    data = dataset(truth, 1)
    one = {"image_id": 1, "category_id": 1}
    found = [{**one, "bbox": error, "score": 0.9}, {**one, "bbox": truth[0]["bbox"], "score": 0.5}]
    options = {"legacy_fp_rule": legacy}
    results = run(evaluator_for(tmp_path, data, **options), data, found)["bbox_slender"]
    assert results["AP-XS"] == pytest.approx(100 if legacy and wide else 50)


def test_diagonal_objects_are_slender_by_their_masks(tmp_path):
    polygon = [0, 5, 5, 0, 80, 75, 75, 80]  # square box, slenderness 1/15
    truth = {"id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "area": 750.0}
    truth.update(bbox=[0.0, 0.0, 80.0, 80.0], segmentation=[polygon])
    data = dataset([truth], 1)
    mask = mask_util.merge(mask_util.frPyObjects([polygon], SIZE, SIZE))
    mask["counts"] = mask["counts"].decode()
    stray = mask_util.decode(mask)[::-1]  # the other diagonal
    stray = mask_util.encode(np.asfortranarray(stray))
    found = [
        {"image_id": 1, "category_id": 1, "bbox": truth["bbox"], "score": s, "segmentation": m}
        for s, m in ((0.9, stray), (0.5, mask))
    ]
    results = run(evaluator_for(tmp_path, data, ("bbox", "segm")), data, found)
    assert results["bbox_slender"]["count-XS"] == results["segm_slender"]["count-XS"] == 1
    assert results["segm_slender"]["AP-XS"] == pytest.approx(50), "the error is slender by its mask"
    assert results["bbox_slender"]["AP-XS"] == pytest.approx(100), "found by its box"


def test_images_without_detections_and_classes_without_annotations(tmp_path):
    truth = [
        {"id": i, "image_id": i, "category_id": 1, "iscrowd": 0, "area": 500.0}
        | {"bbox": [10.0, 10.0, 8.0, 60.0]}
        for i in (1, 2)
    ]
    data = dataset(truth, 2)
    found = [{"image_id": 1, "category_id": 1, "bbox": truth[0]["bbox"], "score": 0.9}]
    results = run(evaluator_for(tmp_path, data), data, found)["bbox_slender"]
    assert results["mAR-XS"] == results["AR@100-XS"] == pytest.approx(50)
    assert math.isnan(results["mAR-R"]) and results["count-R"] == 0


def test_no_detection_at_all(tmp_path):
    data, _ = random_set(0)
    results = run(evaluator_for(tmp_path, data), data, [])["bbox_slender"]
    assert results["AP"] == results["AP-XS"] == results["mAR-XS"] == 0 and results["count-XS"] > 0


def greedy(iou):
    """The paper's matching of one image and class, step by step on the matrix."""
    iou, best = iou.copy(), np.zeros(iou.shape[1])
    while iou.size and iou.max() > 0:
        detection, annotation = np.unravel_index(iou.argmax(), iou.shape)
        best[annotation] = iou[detection, annotation]
        iou[detection], iou[:, annotation] = 0, 0
    return best


@pytest.mark.parametrize("seed", range(4))
def test_recall_by_best_overlap(seed):
    rng = np.random.default_rng(seed)
    data, found = random_set(seed, crowded=True)
    for item in [*data["annotations"], *found]:
        item["bbox"] = (np.array(item["bbox"]) + rng.uniform(0, 0.5, 4)).tolist()  # no ties
    for detection in found:
        detection["score"] = float(rng.random())
    truth, detections = arrays(data, found)
    known = overlaps_of(coco_eval(data, found, "bbox"))
    overlaps = find_overlaps(truth, detections, known, 0.0)
    subset = (rng.random(len(truth)) < 0.6)[overlaps.truth_order] & ~overlaps.truth.crowd
    counts = np.stack([~overlaps.truth.crowd, subset])
    mine = best_overlaps(overlaps, counts, limit=100)
    for image in {a["image_id"] for a in data["annotations"]}:
        kept = sorted((f for f in found if f["image_id"] == image), key=lambda f: -f["score"])[:100]
        for category in range(4):
            dets = [f["bbox"] for f in kept if f["category_id"] == category + 1]
            for row, these in zip(mine, counts):
                at = (overlaps.truth.image == image) & (overlaps.truth.category == category) & these
                gts = [data["annotations"][i]["bbox"] for i in overlaps.truth_order[at]]
                if gts and dets:
                    iou = mask_util.iou(np.array(dets), np.array(gts), [0] * len(gts))
                    np.testing.assert_allclose(row[at], greedy(iou), atol=1e-12)
                else:
                    assert not row[at].any()


def test_the_same_twice_and_on_some_images_only(tmp_path):
    data, found = random_set(3, images=12, masks=True)
    evaluator = evaluator_for(tmp_path, data, ("bbox", "segm"))
    first, second = run(evaluator, data, found), run(evaluator, data, found)
    assert json.dumps(first) == json.dumps(second)
    some = [1, 2, 3, 7]
    part = {**data, "images": [i for i in data["images"] if i["id"] in some]}
    part["annotations"] = [a for a in data["annotations"] if a["image_id"] in some]
    kept = [f for f in found if f["image_id"] in some]
    expected = run(evaluator_for(tmp_path, part), part, kept)["bbox_slender"]
    assert json.dumps(run(evaluator, data, found, some)["bbox_slender"]) == json.dumps(expected)


def test_tables_by_bin_and_class_are_logged(tmp_path, caplog):
    data, found = random_set(2)
    with caplog.at_level(logging.INFO, "drfpn_da.evaluation.slender"):
        run(evaluator_for(tmp_path, data), data, found)
    assert "bbox by slenderness" in caplog.text and "| XS " in caplog.text
    assert "| rope " in caplog.text


# --------------------------------------------------------------------------------------------------
# Options and refusals
# --------------------------------------------------------------------------------------------------


@pytest.fixture
def cfg(tmp_path):
    cfg = base_cfg()
    cfg.TEST.SLENDER.ENABLED = True
    path = tmp_path / "gt.json"
    path.write_text(json.dumps(dataset([], 1)))
    MetadataCatalog.get(tmp_path.name).set(json_file=str(path), evaluator_type="coco")
    return cfg


def test_one_key_turns_it_on(cfg, tmp_path):
    (evaluator,) = build_evaluators(cfg, tmp_path.name)._evaluators
    assert type(evaluator) is SlenderCOCOEvaluator and evaluator._bins == SLENDERNESS_BINS
    # The defaults survive a config file, infinity included.
    (tmp_path / "config.yaml").write_text(cfg.dump())
    cfg.merge_from_file(str(tmp_path / "config.yaml"))
    (evaluator,) = build_evaluators(cfg, tmp_path.name)._evaluators
    assert evaluator._bins == SLENDERNESS_BINS and len(evaluator._aspect_bins) == 5
    cfg.TEST.SLENDER.BINS, cfg.TEST.SLENDER.ASPECT_BINS = [["thin", 0, 0.1]], []
    (evaluator,) = build_evaluators(cfg, tmp_path.name)._evaluators
    assert evaluator._bins == (Bin("thin", 0, 0.1),) and evaluator._aspect_bins == ()
    cfg.TEST.SLENDER.ENABLED = False
    (evaluator,) = build_evaluators(cfg, tmp_path.name)._evaluators
    assert not isinstance(evaluator, SlenderCOCOEvaluator)


def test_where_it_has_no_effect_that_is_said(cfg, tmp_path, caplog, register):
    name = f"{tmp_path.name}_labels"
    labels = {"stuff_classes": ["road"], "ignore_label": 255, "evaluator_type": "sem_seg"}
    register(name, [{"file_name": "a", "sem_seg_file_name": "b"}], **labels)
    cfg.MODEL.META_ARCHITECTURE = "SemanticSegmentor"
    build_evaluators(cfg, name)
    assert f"has no effect on dataset '{name}'" in caplog.text


def test_keypoints_are_refused_by_name(cfg, tmp_path):
    cfg.MODEL.KEYPOINT_ON = True
    with pytest.raises(ValueError, match="Keypoints are not evaluated by slenderness"):
        build_evaluators(cfg, tmp_path.name)
    evaluator = SlenderCOCOEvaluator(tmp_path.name, distributed=False)
    instances = Instances((4, 4), pred_boxes=Boxes(torch.zeros(0, 4)))
    instances.pred_keypoints = torch.zeros(0, 17, 3)
    with pytest.raises(ValueError, match="Keypoints"):
        evaluator.process([{"image_id": 1}], [{"instances": instances}])


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ([["a", 0, 0.5], ["b", 0.4, 1]], "'a'.*and 'b'.*overlap"),
        ([["b", 0.5, 1], ["a", 0, 0.5]], "'b'.*and 'a'.*not in ascending order"),
        ([["a", 0.5, 0.5]], "'a' needs 0 <= low < high"),
        ([["a", 0, 0.5], ["a", 0.5, 1]], "different names"),
        ([["a/b", 0, 0.5]], "'a/b' cannot name a bin"),
        ([[0, 0.5]], r"\[0, 0.5\] is not \[name, low, high\]"),
        ([], "at least one bin"),
    ],
)
def test_impossible_bins_are_refused(entries, words):
    with pytest.raises(ValueError, match=rf"TEST\.SLENDER\.BINS: .*{words}"):
        parse_bins(entries, "TEST.SLENDER.BINS")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"bins": [Bin("a", 0, 0.5), Bin("b", 0.4, 1)]}, "bins: bins 'a'.*and 'b'.*overlap"),
        ({"bins": [["b", 0.5, 1], ["a", 0, 0.5]]}, "bins: .*not in ascending order"),
        ({"aspect_bins": [Bin("W", 3, 9), Bin("T", 0, 3)]}, "aspect_bins: .*not in ascending"),
        ({"bins": [Bin("T", 0, 1)]}, "need different names"),
    ],
)
def test_impossible_bins_are_refused_from_python(cfg, tmp_path, options, words):
    with pytest.raises(ValueError, match=words):
        SlenderCOCOEvaluator(tmp_path.name, distributed=False, **options)


def test_predictions_of_another_dataset_are_named(tmp_path):
    data, found = random_set(1)
    evaluator = evaluator_for(tmp_path, data)
    run(evaluator, data, found)
    evaluator._predictions[0]["image_id"] = 77
    with pytest.raises(ValueError, match="predictions of image 77, which dataset"):
        evaluator.evaluate()
