"""The LazyConfigs of depth and of DepthMix train: samples, losses, and who is stepped."""

from __future__ import annotations

import pytest
import torch
from detectron2.config import LazyConfig

from drfpn_da import model_zoo
from drfpn_da.engine.lazy import train_lazy

EXPECTED = {
    "depth/lazy/mobilenetv2_mini.py": {"depth/loss_photometric", "depth/loss_smoothness"},
    "depth_mix/lazy/semseg_mobilenetv2_mini.py": {"loss_sem_seg", "depth_mix/loss_mix"},
    "depth_mix/lazy/multi_task_mobilenetv2_mini.py": {
        "loss_sem_seg",
        "loss_sem_seg_side",
        "depth/loss_photometric",
        "depth/loss_smoothness",
        "depth_mix/loss_mix",
    },
}


@pytest.mark.parametrize("name", EXPECTED)
def test_lazy_configs_train(name, tmp_path):
    cfg = model_zoo.get_config(name)
    words = ["train.max_iter=1", "train.eval_period=0", "train.log_period=1"]
    words += ["train.init_checkpoint=''", "train.seed=3", f"train.output_dir={tmp_path}"]
    cfg = LazyConfig.apply_overrides(cfg, words)
    loaders = [cfg.dataloader.train]
    if "source" in loaders[0]:
        loaders = [loaders[0].source, loaders[0].target]
    for loader in loaders:
        loader.num_workers = 0
    train_lazy(cfg)
    saved = torch.load(tmp_path / "model_final.pth", weights_only=True)
    assert all(torch.isfinite(v).all() for v in saved["model"].values() if v.is_floating_point())
    written = (tmp_path / "metrics.json").read_text()
    assert all(f'"{loss}"' in written for loss in EXPECTED[name])
