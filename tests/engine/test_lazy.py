"""LazyConfigs are checked against their data sets before a run begins."""

from __future__ import annotations

import argparse

import pytest
from omegaconf import DictConfig

from drfpn_da import model_zoo
from drfpn_da.engine.lazy import check_lazy_classes, start_lazy_run

DETECTOR = "drfpn/lazy/faster_rcnn_mobilenetv2_drfpn_mini.py"


@pytest.mark.parametrize(
    "name", [name for name in model_zoo.list_configs() if name.endswith(".py")]
)
def test_shipped_configs_have_the_classes_of_their_data(name):
    cfg = model_zoo.get_config(name)
    assert isinstance(cfg, DictConfig)
    check_lazy_classes(cfg)


@pytest.mark.parametrize(
    ("config", "override", "said"),
    [
        (DETECTOR, "model.roi_heads.num_classes=3", r"roi_heads\.num_classes is 3, .* 6 classes"),
        (
            "depth_mix/lazy/semseg_mobilenetv2_mini.py",
            "model.detector.sem_seg_head.num_classes=7",
            r"sem_seg_head\.num_classes is 7, .* 11 classes",
        ),
    ],
)
def test_another_number_of_classes_is_refused_before_training(config, override, said, tmp_path):
    args = argparse.Namespace(
        config_file=config,
        opts=[override, f"train.output_dir={tmp_path / 'run'}"],
        resume=False,
        eval_only=False,
    )
    with pytest.raises(ValueError, match=said):
        start_lazy_run(args)
