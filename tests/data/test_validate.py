"""Data sets and model that do not fit are refused before training, with the line to write."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from drfpn_da.config.setup import base_cfg
from drfpn_da.data import register_image_folder, validate_datasets
from drfpn_da.data.validate import check_classes

STREETS = "streets_mini_clear_train"


def _cfg(*opts):
    cfg = base_cfg()
    cfg.merge_from_list(["DATASETS.TRAIN", (STREETS,), "DATASETS.TEST", (), *opts])
    return cfg


@pytest.mark.parametrize(
    ("architecture", "key", "right"),
    [
        ("GeneralizedRCNN", "MODEL.ROI_HEADS.NUM_CLASSES", 6),
        ("RetinaNet", "MODEL.RETINANET.NUM_CLASSES", 6),
        ("FCOS", "MODEL.FCOS.NUM_CLASSES", 6),
        ("SemanticSegmentor", "MODEL.SEM_SEG_HEAD.NUM_CLASSES", 11),
    ],
)
def test_number_of_classes(architecture, key, right):
    base = ["MODEL.META_ARCHITECTURE", architecture, key]
    validate_datasets(_cfg(*base, right))
    with pytest.raises(ValueError, match=rf"{key} is 5.*{STREETS}.*write {key} {right}"):
        validate_datasets(_cfg(*base, 5))


def test_labels_that_meet_a_model(tmp_path, fresh_name):
    """What every tool asks before it joins a model with labels."""
    cfg = _cfg("MODEL.ROI_HEADS.NUM_CLASSES", 3)
    check_classes(cfg, ["bccd_train", "bccd_test"], "--dataset")
    with pytest.raises(ValueError, match=rf"NUM_CLASSES is 3, but dataset '{STREETS}' has 6 .*or"):
        check_classes(cfg, [STREETS], "--dataset")
    with pytest.raises(ValueError, match="differ in thing_classes"):
        check_classes(cfg, ["bccd_train", "camvid_boxes_val"], "--dataset")
    with pytest.raises(KeyError, match=r"'bccd_trian' \(--dataset\) is not registered"):
        check_classes(cfg, ["bccd_trian"], "--dataset")
    # No class names: nothing to be wrong.
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "a.png")
    register_image_folder(fresh_name, str(tmp_path))
    check_classes(cfg, [fresh_name], "--dataset")


def test_unknown_name_suggests_the_nearest():
    with pytest.raises(KeyError, match="streets_mini_clear_train"):
        validate_datasets(_cfg("DATASETS.TRAIN", ("streets_mini_clear_trian",)))


def test_unknown_architecture_is_left_alone():
    validate_datasets(_cfg("MODEL.META_ARCHITECTURE", "SomebodyElses"))


def test_classes_must_agree_between_train_and_test():
    opts = ["MODEL.ROI_HEADS.NUM_CLASSES", 3, "DATASETS.TRAIN", ("bccd_train",)]
    validate_datasets(_cfg(*opts, "DATASETS.TEST", ("bccd_test",)))
    with pytest.raises(ValueError, match="differ in thing_classes"):
        validate_datasets(_cfg(*opts, "DATASETS.TEST", ("camvid_boxes_val",)))


def test_masks():
    opts = ["MODEL.MASK_ON", True, "MODEL.ROI_HEADS.NUM_CLASSES"]
    with pytest.raises(ValueError, match=r"write INPUT\.MASK_FORMAT bitmask"):
        validate_datasets(_cfg(*opts, 6))
    validate_datasets(_cfg(*opts, 6, "INPUT.MASK_FORMAT", "bitmask"))
    with pytest.raises(ValueError, match=r"write MODEL\.MASK_ON False"):
        validate_datasets(_cfg(*opts, 3, "DATASETS.TRAIN", ("bccd_train",)))


def test_semantic_labels_and_their_ignore_value():
    opts = ["MODEL.META_ARCHITECTURE", "SemanticSegmentor", "MODEL.SEM_SEG_HEAD.NUM_CLASSES", 11]
    with pytest.raises(ValueError, match=r"IGNORE_VALUE 255"):
        validate_datasets(_cfg(*opts, "MODEL.SEM_SEG_HEAD.IGNORE_VALUE", 11))
    with pytest.raises(ValueError, match="no semantic labels"):
        validate_datasets(_cfg(*opts, "DATASETS.TRAIN", ("bccd_train",)))


def test_pictures_without_labels_may_be_tested_on(tmp_path, fresh_name):
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "a.png")
    register_image_folder(fresh_name, str(tmp_path))
    opts = ["MODEL.ROI_HEADS.NUM_CLASSES", 6]
    validate_datasets(_cfg(*opts, "DATASETS.TEST", (fresh_name,)))
    with pytest.raises(ValueError, match="has no boxes"):
        validate_datasets(_cfg(*opts, "DATASETS.TRAIN", (fresh_name,)))


TARGET = "streets_mini_foggy_train"


def _adapted(*opts):
    return _cfg(
        *("MODEL.META_ARCHITECTURE", "AdaptiveModel", "MODEL.ADAPT.OBJECTIVES", ["X"]),
        *("MODEL.ROI_HEADS.NUM_CLASSES", 6, "DATASETS.TARGET", (TARGET,), *opts),
    )


def test_adapted_models_are_checked_as_their_detector(caplog):
    validate_datasets(_adapted())
    assert not caplog.records
    with pytest.raises(ValueError, match=r"write MODEL\.ROI_HEADS\.NUM_CLASSES 6"):
        validate_datasets(_adapted("MODEL.ROI_HEADS.NUM_CLASSES", 5))
    retinanet = ["MODEL.ADAPT.DETECTOR", "RetinaNet", "MODEL.RETINANET.NUM_CLASSES"]
    validate_datasets(_adapted(*retinanet, 6))
    with pytest.raises(ValueError, match=r"write MODEL\.RETINANET\.NUM_CLASSES 6"):
        validate_datasets(_adapted(*retinanet, 5))


def test_target_is_named_and_registered():
    with pytest.raises(KeyError, match=rf"{TARGET}.*--register-images NAME FOLDER"):
        validate_datasets(_adapted("DATASETS.TARGET", ("streets_mini_fogy_train",)))
    with pytest.raises(ValueError, match=r"DATASETS\.TARGET is empty.*OBJECTIVES \['X'\]"):
        validate_datasets(_adapted("DATASETS.TARGET", ()))
    with pytest.raises(ValueError, match=r"DATASETS\.TARGET is empty.*oracle"):
        validate_datasets(_adapted("DATASETS.TARGET", (), "MODEL.ADAPT.BASELINE", "oracle"))
    validate_datasets(_adapted("DATASETS.TARGET", (), "MODEL.ADAPT.BASELINE", "source_only"))
    # Evaluation alone needs no target, even one that is not registered here.
    validate_datasets(_adapted("DATASETS.TRAIN", (), "DATASETS.TARGET", ()))
    validate_datasets(_adapted("DATASETS.TRAIN", (), "DATASETS.TARGET", ("elsewhere",)))


def test_unusual_targets_are_said_aloud(caplog):
    validate_datasets(_adapted("DATASETS.TEST", (TARGET,)))
    assert "for evaluation only" in caplog.text
    assert TARGET in caplog.text
    caplog.clear()
    validate_datasets(_adapted("DATASETS.TARGET", (STREETS,)))
    assert "no shift" in caplog.text
    caplog.clear()
    validate_datasets(_adapted("MODEL.META_ARCHITECTURE", "GeneralizedRCNN"))
    assert "is not used" in caplog.text


def test_classes_of_the_target_matter_to_the_oracle_alone():
    opts = ["DATASETS.TARGET", ("bccd_train",)]
    validate_datasets(_adapted(*opts))
    with pytest.raises(ValueError, match=r"bccd_train.*has 3 classes"):
        validate_datasets(_adapted(*opts, "MODEL.ADAPT.BASELINE", "oracle"))


def test_oracle_needs_labels(tmp_path, fresh_name):
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "a.png")
    register_image_folder(fresh_name, str(tmp_path))
    validate_datasets(_adapted("DATASETS.TARGET", (fresh_name,)))
    with pytest.raises(ValueError, match=r"has no boxes.*change DATASETS\.TARGET"):
        validate_datasets(
            _adapted("DATASETS.TARGET", (fresh_name,), "MODEL.ADAPT.BASELINE", "oracle")
        )
