"""Labelled pictures among the target bring their labels, and no other picture does."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog, DatasetMapper
from detectron2.data import transforms as T
from PIL import Image

from drfpn_da import model_zoo
from drfpn_da.data import build_target_loader
from drfpn_da.data.given_labels import GIVEN_FILE, GivenLabelMapper, give_labels
from drfpn_da.data.seeding import seeded

KEYS = ("MODEL.DEPTH_MIX.USE_LABELS", True, "DATALOADER.NUM_WORKERS", 0, "SEED", 1)


def streets(*options):
    cfg = model_zoo.get_config("depth_mix/streets/semseg_mobilenetv2_mini.yaml")
    cfg.merge_from_list([*KEYS, *options])
    return cfg


@pytest.fixture
def record(tmp_path):
    grey = np.add.outer(np.arange(20), np.arange(30)).astype(np.uint8) % 7
    Image.fromarray(np.stack([grey] * 3, axis=-1)).save(tmp_path / "a.png")
    Image.fromarray(grey).save(tmp_path / "labels.png")
    return {"file_name": str(tmp_path / "a.png"), GIVEN_FILE: str(tmp_path / "labels.png")}


def test_given_labels_follow_the_picture(record):
    geometry = [T.RandomFlip(0.5), T.RandomCrop("absolute", (8, 9))]
    plain = DatasetMapper(is_train=True, augmentations=geometry, image_format="RGB")
    for seed in range(4):
        with seeded(seed):
            sample = GivenLabelMapper(plain, classes=7)(record)
        assert torch.equal(sample["given_labels"], sample["image"][0].long())
    assert "given_labels" not in GivenLabelMapper(plain, 7)({"file_name": record["file_name"]})
    with pytest.raises(ValueError, match=r"labels\.png: label 6 is neither one of the 6 classes"):
        GivenLabelMapper(DatasetMapper(True, augmentations=[], image_format="RGB"), 6)(record)
    Image.new("L", (30, 21)).save(record[GIVEN_FILE])
    with pytest.raises(ValueError, match=r"labels\.png has 30x21 pixels.*a\.png has 30x20"):
        GivenLabelMapper(plain, 7)(record)


def test_the_loader_gives_labels_of_the_labelled_pictures_alone():
    labelled = {
        r["file_name"]: r["sem_seg_file_name"]
        for r in DatasetCatalog.get("streets_mini_clear_train")
    }
    cfg = streets("DATASETS.LABELLED.COUNT", 8, "SOLVER.IMS_PER_BATCH", 8)
    found = {True: set(), False: set()}
    loader = iter(build_target_loader(cfg))
    while not found[True] or not found[False]:
        for sample in next(loader):
            given = "given_labels" in sample
            found[given].add(sample["file_name"])
            assert "sem_seg" not in sample
            if given:
                assert sample["given_labels"].shape == sample["image"].shape[1:]
    assert not found[True] & found[False] and found[True] <= set(labelled)
    dataset = build_target_loader(cfg).dataset._dataset
    assert sum(GIVEN_FILE in r for r in dataset) == 8 < len(dataset)
    for off in (
        ("MODEL.DEPTH_MIX.USE_LABELS", False),
        ("MODEL.META_ARCHITECTURE", "AdaptiveModel", "MODEL.ADAPT.OBJECTIVES", []),
    ):
        assert not any(GIVEN_FILE in r for r in build_target_loader(streets(*off)).dataset._dataset)


def test_a_target_without_labelled_pictures_is_refused():
    with pytest.raises(ValueError, match=r"no picture of DATASETS.TARGET is one of the 8 labelled"):
        build_target_loader(streets("DATASETS.TARGET", ("streets_mini_clear_val",)))
    with pytest.raises(ValueError, match="data set of torch"):
        give_labels(torch.utils.data.TensorDataset(torch.zeros(2)), [])
