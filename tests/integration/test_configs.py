"""Every shipped config builds its model and optimiser, and refers to what is there."""

import pytest
import torch
from detectron2.config import CfgNode, instantiate
from detectron2.modeling import build_model
from omegaconf import OmegaConf

from drfpn_da import model_zoo
from drfpn_da.engine.optimizer import build_optimizer
from drfpn_da.modeling import AdaptiveModel


@pytest.mark.parametrize("name", model_zoo.list_configs())
def test_config_builds(name):
    config = model_zoo.get_config(name)
    # Shapes without memory or initialisation: the large models build in seconds.
    with torch.device("meta"):
        if isinstance(config, CfgNode):
            config.MODEL.DEVICE = "meta"
            model = build_model(config)
            assert build_optimizer(config, model).param_groups
            stepless = config.SOLVER.LR_SCHEDULER_NAME in ("WarmupCosineLR", "WarmupPolyLR")
            assert stepless or config.SOLVER.MAX_ITER > max(config.SOLVER.STEPS, default=0)
        else:
            model = instantiate(config.model)
            assert {"dataloader", "optimizer", "lr_multiplier", "train"} <= set(config)
            config.optimizer.params.model = model
            assert instantiate(config.optimizer).param_groups
            # A reference into what a config has moved elsewhere fails here.
            OmegaConf.to_container(config.dataloader, resolve=True)
    if isinstance(model, AdaptiveModel):
        assert len(model.objectives) > 0
        model = model.detector
    levels = model.backbone.output_shape()
    wanted = {*getattr(model, "head_in_features", ())}
    for part in ("proposal_generator", "roi_heads", "sem_seg_head"):
        wanted |= {*getattr(getattr(model, part, None), "in_features", ())}
    assert wanted and wanted <= set(levels)
