"""Training of depth from video: the right samples, Adam, exact resume."""

from __future__ import annotations

import pytest
import torch
from detectron2.modeling import build_model

from drfpn_da import model_zoo
from drfpn_da.engine import Trainer
from drfpn_da.engine.optimizer import build_optimizer
from tests.training import assert_equal_states, losses

SMALL = [
    *("MODEL.DEVICE", "cpu"),
    *("MODEL.DEPTH.CHANNELS", [4, 6, 8]),
    *("MODEL.DEPTH.SCALES", 2),
    *("MODEL.DEPTH.POSE.CHANNELS", [4, 8]),
    *("MODEL.DEPTH.FEATURE_DISTANCE_WEIGHT", 0.01),
    *("INPUT.MIN_SIZE_TRAIN", (32,)),
    *("INPUT.MAX_SIZE_TRAIN", 64),
    *("SOLVER.MAX_ITER", 2),
    *("SOLVER.STEPS", (1,)),
    *("SOLVER.CHECKPOINT_PERIOD", 1),
    *("DATALOADER.NUM_WORKERS", 0),
    *("DATASETS.TEST", ()),
    *("SEED", 5),
]


def make_config(*options):
    cfg = model_zoo.get_config("depth/streets/mobilenetv2_mini.yaml")
    cfg.merge_from_list([*SMALL, *options])
    return cfg


def multi_task(*options):
    cfg = model_zoo.get_config("depth_mix/streets/multi_task_mobilenetv2_mini.yaml")
    weights = ["MODEL.WEIGHTS", "", "SOLVER.IMS_PER_BATCH", 2, "MODEL.DEPTH_MIX.CONFIDENCE", 0.1]
    cfg.merge_from_list([*SMALL, *weights, *options])
    return cfg


@pytest.mark.parametrize("config", [make_config, multi_task], ids=["depth", "multi-task"])
def test_training_resumes_exactly(tmp_path, config):
    def build(name):
        return Trainer(config("OUTPUT_DIR", str(tmp_path / name)))

    straight = build("straight")
    straight.train()
    stopped = build("stopped")
    stopped.max_iter = 1
    stopped.train()
    torch.rand(7)
    resumed = build("stopped")
    resumed.resume_or_load(resume=True)
    assert resumed.start_iter == 1
    resumed.train()
    assert_equal_states(straight.model.state_dict(), resumed.model.state_dict())
    assert_equal_states(straight.optimizer.state_dict(), resumed.optimizer.state_dict())
    for name, values in losses(straight).items():
        later = {at: value for at, value in values.items() if at >= 1}
        assert losses(resumed)[name] == later, name
    if config is make_config:
        assert isinstance(straight.optimizer, torch.optim.Adam) and int(resumed.model.steps) == 2


def test_mixed_precision_trains(tmp_path):
    trainer = Trainer(
        make_config(
            *("OUTPUT_DIR", str(tmp_path)),
            *("SOLVER.MAX_ITER", 1),
            *("SOLVER.STEPS", ()),
            *("SOLVER.AMP.ENABLED", True),
        )
    )
    trainer.train()
    assert all(torch.isfinite(p).all() for p in trainer.model.parameters())


def test_optimiser_by_name():
    model = torch.nn.Linear(2, 2)
    stock = build_optimizer(make_config("SOLVER.OPTIMIZER", "SGD"), model)
    assert isinstance(stock, torch.optim.SGD)
    with pytest.raises(ValueError, match="'Lion'; write 'SGD' or 'Adam'"):
        build_optimizer(make_config("SOLVER.OPTIMIZER", "Lion"), model)


@pytest.mark.parametrize("kind", ["SGD", "Adam"])
def test_learning_rates_by_name(kind):
    factors = [["backbone.features.0", 0.5], ["backbone.", 0.1], ["objectives.depth.pose", 1e-4]]
    cfg = multi_task("SOLVER.OPTIMIZER", kind, "SOLVER.BASE_LR", 0.2, "SOLVER.LR_FACTORS", factors)
    model = build_model(cfg)
    optimizer = build_optimizer(cfg, model)
    rates = {id(p): g["lr"] for g in optimizer.param_groups for p in g["params"]}
    trained = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    assert len(rates) == len(trained)
    for name, parameter in trained:
        expected = 0.2
        if name.startswith("backbone."):
            expected = 0.1 if name.startswith("backbone.features.0") else 0.02
        if name.startswith("objectives.depth.pose"):
            expected = 2e-5
        assert rates[id(parameter)] == pytest.approx(expected), name
    with pytest.raises(ValueError, match=r"begins with 'body'.*'backbone'"):
        build_optimizer(multi_task("SOLVER.LR_FACTORS", [["body", 0.1]]), model)
