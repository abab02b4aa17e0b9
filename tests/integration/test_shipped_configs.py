"""Every shipped config builds model, optimiser and loaders, and trains across its own starts.

Data sets have small stand-ins, pictures are small and few, and proposals too; bodies, heads,
objectives, optimiser and schedule are those of the config.
"""

from __future__ import annotations

import re

import pytest
from detectron2.config import CfgNode

from drfpn_da import model_zoo
from tests.integration.shipped_runs import run_lazy, run_yaml

# Bodies that take seconds; of them, the one that most configs of its folder follow is quick.
_LARGE = re.compile("R_50|R_101|R_103|X_101|vgg16")
_ALWAYS = ("depth_mix/cityscapes/semseg_R_50_372.yaml", "drfpn/coco/retinanet_R_50_DRFPN_1x.yaml")
NAMES = [
    pytest.param(name, marks=pytest.mark.slow)
    if _LARGE.search(name) and name not in _ALWAYS
    else name
    for name in model_zoo.list_configs()
]


@pytest.mark.parametrize("name", NAMES)
def test_config_trains_across_its_starts(name, tmp_path, monkeypatch):
    cfg = model_zoo.get_config(name)
    run = run_yaml if isinstance(cfg, CfgNode) else run_lazy
    run(cfg, tmp_path, monkeypatch)
