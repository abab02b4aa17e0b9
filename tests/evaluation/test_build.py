"""Which evaluators a dataset and a model get."""

from __future__ import annotations

import json

import pytest
from detectron2.data import MetadataCatalog
from detectron2.evaluation import DatasetEvaluator
from detectron2.modeling import META_ARCH_REGISTRY, GeneralizedRCNN

from drfpn_da.config.setup import base_cfg
from drfpn_da.evaluation import (
    EvaluationContext,
    build,
    build_evaluators,
    build_evaluators_from_metadata,
    predicted_kinds,
    register_evaluator,
)


@pytest.fixture
def cfg():
    return base_cfg()


@pytest.fixture
def dataset(tmp_path, register):
    path = tmp_path / "gt.json"
    path.write_text(json.dumps({"images": [], "annotations": [], "categories": []}))
    name = f"build_{tmp_path.name}"
    record = {
        "file_name": "a.png",
        "image_id": 1,
        "sem_seg_file_name": "b.png",
        "annotations": [],
    }
    classes = {"thing_classes": ["car"], "stuff_classes": ["road"]}
    return register(name, [record], json_file=str(path), ignore_label=255, **classes)


@pytest.fixture
def table(monkeypatch):
    """Registrations of the test are forgotten after it."""
    monkeypatch.setattr(build, "_TABLE", dict(build._TABLE))


def _names(evaluators):
    return [type(e).__name__ for e in evaluators._evaluators]


@pytest.mark.parametrize(
    ("meta_architecture", "expected"),
    [
        ("GeneralizedRCNN", ["FastCOCOEvaluator"]),
        ("RetinaNet", ["FastCOCOEvaluator"]),
        ("ProposalNetwork", ["FastCOCOEvaluator"]),
        ("SemanticSegmentor", ["MIoUEvaluator"]),
        ("PanopticFPN", ["FastCOCOEvaluator", "MIoUEvaluator", "PanopticQualityEvaluator"]),
    ],
)
def test_only_what_the_model_predicts(cfg, dataset, meta_architecture, expected):
    # Each factory once, although two of the types share two of them.
    MetadataCatalog.get(dataset).evaluator_types = ["coco", "sem_seg", "coco_panoptic_seg"]
    cfg.MODEL.META_ARCHITECTURE = meta_architecture
    assert _names(build_evaluators(cfg, dataset)) == expected


def test_stock_metadata_with_one_type(cfg, dataset):
    MetadataCatalog.get(dataset).evaluator_type = "coco"
    assert _names(build_evaluators(cfg, dataset)) == ["FastCOCOEvaluator"]


def test_tasks_follow_the_config(cfg, dataset):
    MetadataCatalog.get(dataset).evaluator_type = "coco"
    (plain,) = build_evaluators(cfg, dataset)._evaluators
    cfg.MODEL.MASK_ON = True
    (masks,) = build_evaluators(cfg, dataset)._evaluators
    assert plain._tasks == ("bbox",) and masks._tasks == ("bbox", "segm")


def test_subclass_predicts_what_its_base_predicts(cfg):
    class MyDetector(GeneralizedRCNN):
        pass

    META_ARCH_REGISTRY._do_register("MyDetector", MyDetector)
    META_ARCH_REGISTRY._do_register("my_function", lambda cfg: None)
    try:
        cfg.MODEL.META_ARCHITECTURE = "MyDetector"
        cfg.MODEL.MASK_ON = True
        assert predicted_kinds(cfg) == {"instances", "masks"}
        cfg.MODEL.META_ARCHITECTURE = "my_function"
        assert predicted_kinds(cfg) is None
    finally:
        del META_ARCH_REGISTRY._obj_map["MyDetector"], META_ARCH_REGISTRY._obj_map["my_function"]


def test_own_type_from_python(dataset, table):
    @register_evaluator("counting", predicts="instances")
    class Counting(DatasetEvaluator):
        def __init__(self, context):
            self.context = context

    MetadataCatalog.get(dataset).evaluator_type = "counting"
    context = EvaluationContext(dataset, "out")
    (evaluator,) = build_evaluators_from_metadata(context)._evaluators
    assert evaluator.context is context


def test_replaced_type(dataset, table):
    @register_evaluator("coco", predicts="instances", replace=True)
    class Mine(DatasetEvaluator):
        def __init__(self, context):
            pass

    MetadataCatalog.get(dataset).evaluator_type = "coco"
    assert _names(build_evaluators_from_metadata(EvaluationContext(dataset))) == ["Mine"]


def test_unknown_type_lists_the_known_and_the_way(cfg, dataset):
    MetadataCatalog.get(dataset).evaluator_type = "cocoo"
    with pytest.raises(KeyError, match=r"'cocoo'.*'coco', .*register_evaluator\('cocoo'"):
        build_evaluators(cfg, dataset)


def test_dataset_without_type(cfg, dataset):
    with pytest.raises(KeyError, match=r"does not say how.*evaluator_type="):
        build_evaluators(cfg, dataset)


def test_nothing_in_common(cfg, dataset):
    MetadataCatalog.get(dataset).evaluator_type = "sem_seg"
    with pytest.raises(ValueError, match=r"predicts \['instances'\].*measure \['sem_seg'\]"):
        build_evaluators(cfg, dataset)
