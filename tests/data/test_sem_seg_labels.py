"""Label ids outside the class list are named before they reach a loss."""

from __future__ import annotations

import re

import numpy as np
import pytest
from detectron2.data import DatasetMapper
from PIL import Image

from drfpn_da.data import build_train_loader
from drfpn_da.data.sem_seg_labels import check_label_ids
from tests.tiny_detectors import tiny_config


def record(folder, label):
    labels = np.zeros((64, 96), np.uint8)
    labels[0, 0], labels[1, 1] = label, 255
    Image.fromarray(labels).save(folder / "labels.png")
    Image.fromarray(np.zeros((64, 96, 3), np.uint8)).save(folder / "picture.png")
    return {
        "file_name": str(folder / "picture.png"),
        "sem_seg_file_name": str(folder / "labels.png"),
        "height": 64,
        "width": 96,
    }


def load(folder, label, *options, others=()):
    cfg = tiny_config("sem_seg", "MODEL.SEM_SEG_HEAD.NUM_CLASSES", 5, *options)
    cfg.INPUT.CROP.ENABLED = False
    cfg.INPUT.MIN_SIZE_TRAIN, cfg.SOLVER.IMS_PER_BATCH, cfg.SEED = (64,), 1, 0
    cfg.DATALOADER.NUM_WORKERS = 0
    loader = build_train_loader(cfg, dataset=[record(folder, label), *others])
    return next(iter(loader))[0]["sem_seg"]


@pytest.mark.parametrize("name", ["SemanticSegmentor", "DepthMixSegmentor"])
def test_label_out_of_range_names_file_and_id(tmp_path, name):
    with pytest.raises(ValueError, match=r"labels\.png: label 5 is neither one of the 5 classes"):
        load(tmp_path, 5, "MODEL.META_ARCHITECTURE", name)


def test_last_class_and_ignored_label_pass(tmp_path):
    assert set(load(tmp_path, 4).unique().tolist()) == {0, 4, 255}


def test_a_detector_does_not_read_the_labels():
    cfg = tiny_config("fcos")
    mapper = DatasetMapper(cfg, True)
    assert check_label_ids(cfg, mapper) is mapper


def void(folder):
    folder.mkdir()
    one = record(folder, 255)
    Image.fromarray(np.full((64, 96), 255, np.uint8)).save(one["sem_seg_file_name"])
    return one


def test_samples_without_any_label_are_passed_over(tmp_path, caplog):
    """Ten of eleven are void; whatever is drawn first, a labelled one comes out."""
    labels = load(tmp_path, 4, others=[void(tmp_path / str(i)) for i in range(10)])
    assert 4 in labels and re.search(r"labels\.png: no pixel .* has a class", caplog.text)


def test_a_set_without_any_label_ends_with_an_error(tmp_path):
    cfg = tiny_config("sem_seg")
    cfg.DATALOADER.NUM_WORKERS, cfg.SEED, cfg.SOLVER.IMS_PER_BATCH = 0, 0, 1
    loader = build_train_loader(cfg, dataset=[void(tmp_path / "void")])
    with pytest.raises(RuntimeError, match="rejected 100 records"):
        next(iter(loader))
