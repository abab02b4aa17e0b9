"""Evaluation of several test sets in training: best checkpoints, scores without labels, teacher."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.modeling import build_model
from detectron2.structures import Boxes, Instances

from drfpn_da.data import register_image_folder
from drfpn_da.engine import Trainer, WithOtherEvaluation
from drfpn_da.engine.other_evaluation import mirror, unmirror
from tests.tiny_coco import register_tiny, tiny_cfg, write_tiny_coco
from tests.tiny_detectors import make_inputs, tiny_config

SETS = ("selection_clear", "selection_fog")
FOLDER = "selection_folder"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two labelled sets and a folder of pictures without labels."""
    for name in SETS:
        folder = tmp_path_factory.mktemp(name)
        write_tiny_coco(folder, count=3)
        register_tiny(name, folder)
    register_image_folder(FOLDER, str(folder / "images"))
    yield
    for name in (*SETS, FOLDER):
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)


@pytest.fixture
def cfg(data, tmp_path):
    """A detector so far untrained that says what it sees with any score."""
    cfg = tiny_cfg(tmp_path, SETS[0])
    cfg.DATASETS.TEST = SETS
    cfg.SOLVER.MAX_ITER, cfg.TEST.EVAL_PERIOD, cfg.SOLVER.IMS_PER_BATCH = 2, 1, 2
    cfg.MODEL.ROI_HEADS.SCORE_THRESH_TEST = 0.01
    cfg.TEST.LABEL_FREE.SCORE_THRESH = 0.01
    cfg.TEST.DETECTIONS_PER_IMAGE = 10
    return cfg


def adapted(cfg):
    cfg.MODEL.META_ARCHITECTURE = "AdaptiveModel"
    cfg.MODEL.TEACHER.ENABLED = True
    return cfg


def metrics(folder):
    return [json.loads(line) for line in Path(folder, "metrics.json").read_text().splitlines()]


def best_hooks(trainer):
    return [h for h in trainer._hooks if type(h).__name__ == "BestCheckpointer"]


def test_each_test_set_keeps_its_best_checkpoint(cfg, tmp_path):
    cfg.TEST.BEST_METRIC, cfg.TEST.LABEL_FREE.ENABLED = "label_free/entropy", True
    cfg.VIS_PERIOD, cfg.TEST.VIS_IMAGES = 2, 1
    results = Trainer(cfg).train()
    last = metrics(tmp_path)[-1]
    for name in SETS:
        assert (tmp_path / f"model_best_{name}.pth").is_file()
        assert (tmp_path / "inference" / name / "coco_instances_results.json").is_file()
        assert (tmp_path / "predictions" / name / "picture_0_0000002.png").is_file()
        assert last[f"{name}/bbox/AP"] == pytest.approx(results[name]["bbox"]["AP"])
        scores = results[name]["label_free"]
        assert scores["detections"] > 0 and 0 <= scores["agreement"] <= 1
        assert last[f"{name}/label_free/agreement"] == pytest.approx(scores["agreement"])
        assert 0 < scores["entropy"] <= 1
    assert not (tmp_path / "model_best.pth").exists()
    assert (tmp_path / "last_checkpoint").read_text() == "model_final.pth"


def test_every_evaluation_is_written(cfg, tmp_path):
    """Also where evaluations are closer together than what else is written."""
    cfg.DATASETS.TEST, cfg.SOLVER.MAX_ITER = SETS[:1], 3
    trainer = Trainer(cfg)
    assert type(trainer._hooks[-1]).__name__ == "PeriodicWriter"
    trainer.train()
    # The last evaluation comes after the last iteration.
    found = [entry["iteration"] for entry in metrics(tmp_path) if "bbox/AP50" in entry]
    assert found == [0, 1, 3]
    written = [entry["iteration"] for entry in metrics(tmp_path) if "total_loss" in entry]
    assert written == [0, 1, 2]


def test_a_longer_run_goes_on_where_training_ended(cfg):
    cfg.DATASETS.TEST, cfg.TEST.BEST_METRIC = SETS[:1], "bbox/AP"
    Trainer(cfg).train()
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=True)
    assert trainer.start_iter == 2


def test_best_of_each_set_is_remembered_after_a_resume(cfg, tmp_path):
    """Lower entropy is better: the first set's best cannot be reached, the second's is beaten."""
    cfg.TEST.BEST_METRIC, cfg.TEST.LABEL_FREE.ENABLED = "label_free/entropy", True
    cfg.TEST.LABEL_FREE.SECOND_OPINION = "none"
    keys = [f"{name}/label_free/entropy" for name in SETS]
    lines = [{"iteration": 0, keys[0]: -1.0, keys[1]: 2.0}, {"iteration": 1, keys[1]: -2.0}]
    (tmp_path / "metrics.json").write_text("\n".join(map(json.dumps, lines)) + "\n")
    trainer = Trainer(cfg)
    trainer.start_iter = 1
    trainer.train()
    first, second = best_hooks(trainer)
    assert (first.best_metric, first.best_iter) == (-1.0, 0)
    assert 0 < second.best_metric <= 1
    assert not (tmp_path / f"model_best_{SETS[0]}.pth").exists()
    assert (tmp_path / f"model_best_{SETS[1]}.pth").is_file()


@pytest.mark.parametrize(
    ("sets", "metric", "prefixes"),
    [
        (SETS[:1], "bbox/AP", ["model_best"]),
        (SETS, f"{SETS[1]}/bbox/AP", ["model_best"]),
        (SETS, "bbox/AP", [f"model_best_{name}" for name in SETS]),
        (SETS, "", []),
        ((), "bbox/AP", []),
    ],
)
def test_which_checkpoints_are_kept(cfg, sets, metric, prefixes):
    cfg.DATASETS.TEST, cfg.TEST.BEST_METRIC = sets, metric
    assert [hook._file_prefix for hook in best_hooks(Trainer(cfg))] == prefixes


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["TEST.BEST_METRIC", "label_free/agreement"], r"needs TEST\.LABEL_FREE\.ENABLED True"),
        (["TEST.BEST_METRIC", "label_free/share-bar"], "neither more nor less is better"),
        (
            [
                *("TEST.BEST_METRIC", "label_free/agreement"),
                *("TEST.LABEL_FREE.ENABLED", True, "TEST.LABEL_FREE.SECOND_OPINION", "none"),
            ],
            r"compares two predictions: write TEST\.LABEL_FREE\.SECOND_OPINION auto",
        ),
        (
            ["TEST.LABEL_FREE.ENABLED", True, "TEST.LABEL_FREE.SECOND_OPINION", "twin"],
            r"SECOND_OPINION is 'twin'; write one of .*'auto', 'teacher', 'flip', 'none'",
        ),
        (
            ["TEST.LABEL_FREE.ENABLED", True, "TEST.LABEL_FREE.SECOND_OPINION", "teacher"],
            r"SECOND_OPINION needs a mean teacher.*MODEL\.TEACHER\.ENABLED True",
        ),
        (["TEST.EVAL_BOTH", True], r"TEST\.EVAL_BOTH needs a mean teacher"),
        (
            [
                *("TEST.AUG.ENABLED", True, "MODEL.META_ARCHITECTURE", "SemanticSegmentor"),
                *("MODEL.SEM_SEG_HEAD.NUM_CLASSES", 3),
            ],
            "not with SemanticSegmentor: write TEST.AUG.ENABLED False",
        ),
    ],
)
def test_what_cannot_be_evaluated_is_refused_before_training(cfg, options, message):
    cfg.merge_from_list(options)
    with pytest.raises(ValueError, match=message):
        Trainer(cfg)


def test_a_folder_without_labels_gets_scores(cfg):
    cfg.DATASETS.TEST = (FOLDER,)
    cfg.TEST.LABEL_FREE.ENABLED = True
    results = Trainer.test(cfg, build_model(cfg))
    assert set(results) == {"label_free"}
    assert results["label_free"]["detections"] > 0


def test_teacher_and_student_are_both_evaluated(cfg, tmp_path):
    adapted(cfg)
    cfg.TEST.EVAL_BOTH = cfg.TEST.LABEL_FREE.ENABLED = True
    model = build_model(cfg).train()
    results = Trainer.test(cfg, model)
    assert model.training and not model.teacher.detector.training
    for name in SETS:
        tasks = results[name]
        assert list(tasks) == ["bbox", "label_free", "bbox_teacher", "label_free_teacher"]
        # The teacher still equals the student.
        np.testing.assert_equal(tasks["bbox"], tasks["bbox_teacher"])
        assert tasks["label_free"]["agreement"] == 1.0
        assert (tmp_path / "inference_teacher" / name).is_dir()
    cfg.DATASETS.TEST = SETS[:1]
    with torch.no_grad():
        for parameter in model.teacher.detector.roi_heads.box_predictor.parameters():
            parameter.add_(torch.randn_like(parameter))
    results = Trainer.test(cfg, model)
    assert results["label_free"]["agreement"] < 1
    ours, theirs = results["label_free"], results["label_free_teacher"]
    assert ours["confidence"] != theirs["confidence"]
    model.evaluate = "teacher"
    swapped = Trainer.test(cfg, model)
    assert swapped["label_free"]["confidence"] == theirs["confidence"]
    assert swapped["label_free_student"]["confidence"] == ours["confidence"]
    assert swapped["label_free"]["agreement"] == pytest.approx(results["label_free"]["agreement"])


@pytest.mark.parametrize("who", ["student", "teacher"])
def test_augmented_evaluation_leaves_every_module_in_its_mode(cfg, who):
    adapted(cfg)
    cfg.TEST.AUG.ENABLED, cfg.TEST.AUG.MIN_SIZES, cfg.TEST.AUG.FLIP = True, (64,), False
    cfg.MODEL.TEACHER.EVAL, cfg.DATASETS.TEST = who, SETS[:1]
    model = build_model(cfg).train()
    model.detector.backbone.bottom_up.stem.eval()  # as whoever freezes a part does
    before = {module: module.training for module in model.modules()}
    Trainer.test_with_TTA(cfg, model)
    assert {module: module.training for module in model.modules()} == before


def test_student_and_teacher_of_a_segmentor_are_both_evaluated(tmp_path):
    write_tiny_coco(tmp_path, count=3)
    register_tiny("both_sem_seg", tmp_path, sem_seg=True)
    cfg = tiny_cfg(tmp_path / "out", "both_sem_seg", sem_seg=True)
    cfg.MODEL.META_ARCHITECTURE = "DepthMixSegmentor"
    cfg.TEST.EVAL_BOTH = True
    model = build_model(cfg).train()
    results = Trainer.test(cfg, model)
    assert list(results) == ["sem_seg", "sem_seg_teacher"]
    np.testing.assert_equal(results["sem_seg"], results["sem_seg_teacher"])
    with torch.no_grad():  # the student now sees the first class everywhere, the teacher does not
        predictor = model.detector.sem_seg_head.predictor
        predictor.weight.zero_()
        predictor.bias.zero_()[0] = 1.0
    results = Trainer.test(cfg, model)
    assert results["sem_seg"]["mIoU"] != results["sem_seg_teacher"]["mIoU"]
    # Of three classes that occur one is wholly right.
    assert results["sem_seg"]["mACC"] == pytest.approx(100 / 3)


def test_mirroring_there_and_back():
    outputs = [
        {
            "instances": Instances(
                (40, 100),
                pred_boxes=Boxes(torch.tensor([[10.0, 5, 30, 20]])),
                scores=torch.tensor([0.5]),
                pred_classes=torch.tensor([1]),
            ),
            "sem_seg": torch.arange(6.0).view(1, 2, 3),
        }
    ]
    (turned,) = unmirror(outputs)
    assert turned["instances"].pred_boxes.tensor.tolist() == [[70.0, 5, 90, 20]]
    assert turned["sem_seg"].tolist() == [[[2, 1, 0], [5, 4, 3]]]
    inputs = [{"image": torch.arange(6).view(1, 2, 3), "height": 40}]
    assert mirror(inputs)[0]["image"].tolist() == [[[2, 1, 0], [5, 4, 3]]]
    assert inputs[0]["image"].flatten().tolist() == list(range(6)), "inputs stay as they are"
    with pytest.raises(ValueError, match=r"cannot mirror precomputed proposals"):
        mirror([{**inputs[0], "proposals": None}])


@pytest.mark.parametrize("kind", ["faster_rcnn_fpn", "sem_seg"])
def test_prediction_on_a_mirrored_picture_is_the_mirrored_prediction(kind):
    """With pictures that equal their mirror images, the second prediction is the mirrored first."""
    torch.manual_seed(0)
    model = build_model(tiny_config(kind)).eval()
    (inputs,) = make_inputs(1)
    inputs["image"] = torch.maximum(inputs["image"], inputs["image"].flip(-1))
    with torch.no_grad():
        (output,) = WithOtherEvaluation(model, "flip")([inputs])
    second = output["other_evaluation"]
    if kind == "sem_seg":
        torch.testing.assert_close(second["sem_seg"], output["sem_seg"].flip(-1))
        return
    width = output["instances"].image_size[1]
    boxes = output["instances"].pred_boxes.tensor
    expected = torch.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], 1)
    torch.testing.assert_close(second["instances"].pred_boxes.tensor, expected)


def test_augmented_evaluation_of_an_adapted_detector(cfg, tmp_path):
    adapted(cfg)
    cfg.DATASETS.TEST = SETS[:1]
    cfg.TEST.AUG.ENABLED = True
    cfg.TEST.AUG.MIN_SIZES, cfg.TEST.AUG.MAX_SIZE = (64,), 96
    model = build_model(cfg)
    plain_cfg = cfg.clone()
    plain_cfg.MODEL.META_ARCHITECTURE = "GeneralizedRCNN"
    plain = build_model(plain_cfg)
    plain.load_state_dict(model.detector.state_dict())
    assert list(Trainer.test_with_TTA(cfg, model)) == ["bbox_TTA"]
    written = tmp_path / "inference_TTA" / "coco_instances_results.json"
    ours = json.loads(written.read_text())
    Trainer.test_with_TTA(plain_cfg, plain)
    assert len(ours) > 0 and ours == json.loads(written.read_text())


def test_augmented_evaluation_with_contexts_is_refused(cfg):
    adapted(cfg)
    cfg.MODEL.ADAPT.OBJECTIVES = ["StrongWeakAlignment"]
    cfg.MODEL.STRONG_WEAK.GLOBAL.NORM = "GN"
    cfg.MODEL.STRONG_WEAK.CONTEXT.ENABLED = True
    with pytest.raises(
        ValueError, match=r"TEST\.AUG\.ENABLED True: the detector uses context vectors"
    ):
        Trainer.test_with_TTA(cfg, build_model(cfg))
