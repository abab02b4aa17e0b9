"""Every architecture trains under mixed precision: two steps in bfloat16 on the CPU."""

from __future__ import annotations

import pytest

from drfpn_da import model_zoo
from drfpn_da.config.combinations import ADAPTIVE, KNOWN, configured_detector
from drfpn_da.engine import CPUAMPTrainer, Trainer
from tests.integration.shipped_runs import run_yaml

TWO_STEP = ["MODEL.FCOS.TWO_STEP.ENABLED", True, "MODEL.FCOS.ADAPTATION", "supervised"]
# What each adds: a detector, a head, an objective, a loader.
CONFIGS = {
    "drfpn/streets/faster_rcnn_mobilenetv2_drfpn_mini.yaml": [],
    "drfpn/streets/cascade_mask_rcnn_mobilenetv2_drfpn_mini.yaml": [],
    "drfpn/streets/retinanet_mobilenetv2_drfpn_mini.yaml": [],
    "drfpn/streets/fcos_mobilenetv2_drfpn_mini.yaml": [],
    "slender/streets/fcos_mobilenetv2_drfpn_slender_small.yaml": TWO_STEP,
    "drfpn/streets/panoptic_fpn_mobilenetv2_drfpn_mini.yaml": [],
    "drfpn/camvid/semseg_mobilenetv2_drfpn.yaml": [],
    "scn/streets/faster_rcnn_mobilenetv2_drfpn_mini.yaml": [],
    "all_in_one/streets/faster_rcnn_mobilenetv2_drfpn_mini.yaml": [],
    "depth_mix/streets/multi_task_mobilenetv2_mini.yaml": [],
    "pseudo_label/streets/depth_mix_semseg_mobilenetv2_mini.yaml": [],
    "depth/streets/mobilenetv2_mini.yaml": [],
    "depth/streets/student_mobilenetv2_mini.yaml": [],
    "pseudo_label/cifar10n/supervised_small_resnet.yaml": [],
    "pseudo_label/cifar10n/soft_labels_small_resnet.yaml": [],
}


@pytest.mark.parametrize("name", CONFIGS)
def test_two_steps_in_bfloat16(name, tmp_path, monkeypatch):
    cfg = model_zoo.get_config(name)
    cfg.merge_from_list([*CONFIGS[name], "SOLVER.AMP.ENABLED", True])
    trainers = []
    build_hooks = Trainer.build_hooks
    monkeypatch.setattr(
        Trainer, "build_hooks", lambda self: trainers.append(self._trainer) or build_hooks(self)
    )
    run_yaml(cfg, tmp_path, monkeypatch)
    assert trainers and all(isinstance(one, CPUAMPTrainer) for one in trainers)


def test_no_architecture_is_left_out():
    covered = set()
    for name in CONFIGS:
        cfg = model_zoo.get_config(name)
        covered |= {cfg.MODEL.META_ARCHITECTURE, configured_detector(cfg)}
    assert covered == KNOWN | set(ADAPTIVE)
