"""Every shipped config builds its model."""

import pytest
import torch
from detectron2.config import CfgNode, instantiate
from detectron2.modeling import build_model

from drfpn_da import model_zoo
from drfpn_da.modeling import AdaptiveModel


@pytest.mark.parametrize("name", model_zoo.list_configs())
def test_config_builds(name):
    config = model_zoo.get_config(name)
    # Shapes without memory or initialisation: the large models build in seconds.
    with torch.device("meta"):
        if isinstance(config, CfgNode):
            config.MODEL.DEVICE = "meta"
            model = build_model(config)
            stepless = config.SOLVER.LR_SCHEDULER_NAME in ("WarmupCosineLR", "WarmupPolyLR")
            assert stepless or config.SOLVER.MAX_ITER > max(config.SOLVER.STEPS, default=0)
        else:
            model = instantiate(config.model)
            assert {"dataloader", "optimizer", "lr_multiplier", "train"} <= set(config)
    if isinstance(model, AdaptiveModel):
        assert len(model.objectives) > 0
        model = model.detector
    levels = model.backbone.output_shape()
    wanted = {*getattr(model, "head_in_features", ())}
    for part in ("proposal_generator", "roi_heads", "sem_seg_head"):
        wanted |= {*getattr(getattr(model, part, None), "in_features", ())}
    assert wanted and wanted <= set(levels)
