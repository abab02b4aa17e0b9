"""A LazyConfig of another project, adapted by one call."""

from __future__ import annotations

import pytest
from detectron2 import model_zoo
from detectron2.config import LazyCall, instantiate
from detectron2.data import DatasetMapper, build_detection_train_loader, get_detection_dataset_dicts
from omegaconf import OmegaConf

import drfpn_da
from drfpn_da.engine.lazy import _seed_loader, check_lazy_classes
from tests.tiny_coco import CLASSES


@pytest.fixture
def lazy(domains):
    """Detectron2's common RetinaNet, small, over the tiny pictures."""
    cfg = OmegaConf.create({"dataloader": {}}, flags={"allow_objects": True})
    cfg.model = model_zoo.get_config("COCO-Detection/retinanet_R_50_FPN_1x.py").model
    cfg.model.num_classes = cfg.model.head.num_classes = len(CLASSES)
    cfg.model.backbone.bottom_up.freeze_at = 1
    cfg.dataloader.train = LazyCall(build_detection_train_loader)(
        dataset=LazyCall(get_detection_dataset_dicts)(names="foreign_source"),
        mapper=LazyCall(DatasetMapper)(is_train=True, augmentations=[], image_format="BGR"),
        total_batch_size=2,
        num_workers=0,
    )
    cfg.dataloader.test = {"image_format": "${..train.mapper.image_format}"}
    return cfg


def test_one_call_adapts_a_lazy_config(lazy):
    plain = set(instantiate(lazy.model).state_dict())
    assert drfpn_da.lazy.adapt(lazy, "foreign_target", ["res2"], ["res4"]) is lazy
    check_lazy_classes(lazy)
    # What pointed at the loader that has moved.
    assert lazy.dataloader.test.image_format == "BGR"
    model = instantiate(lazy.model)
    channels = {
        tap.feature: tap.discriminator.in_channels for tap in model.objectives["strong_weak"].taps
    }
    assert channels == {"res4": 1024, "res2": 256}
    assert {key for key in model.state_dict() if not key.startswith("objectives.")} == plain
    _seed_loader(lazy.dataloader.train, 4)
    assert lazy.dataloader.train.target.seed == 4
    batch = next(iter(instantiate(lazy.dataloader.train)))
    assert [x.get("domain") for x in batch] == [None, None, "target", "target"]
    with pytest.raises(ValueError, match="adapted already"):
        drfpn_da.lazy.adapt(lazy, "foreign_target", ["res2"])


def test_what_cannot_be_adapted_is_refused(lazy):
    with pytest.raises(ValueError, match="name a feature"):
        drfpn_da.lazy.adapt(lazy, "foreign_target")
    drfpn_da.lazy.adapt(lazy, "foreign_target", local=["res9"])
    with pytest.raises(KeyError, match=r"unknown feature 'res9'.*res2 \(256 channels"):
        instantiate(lazy.model)
    del lazy.dataloader["train"]
    with pytest.raises(ValueError, match=r"no dataloader\.train"):
        drfpn_da.lazy.adapt(lazy, "foreign_target", local=["res2"])
