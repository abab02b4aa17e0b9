"""The trainer: exact resume, bfloat16 on the CPU, evaluation, pictures, errors."""

import json
from pathlib import Path

import pytest
import torch

from drfpn_da.engine import Trainer, amp_trainer
from tests.tiny_coco import register_tiny, tiny_cfg, write_tiny_coco
from tests.training import assert_resumes_exactly, losses


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    write_tiny_coco(folder)
    register_tiny("tiny_trainer", folder)
    return "tiny_trainer"


@pytest.mark.parametrize("workers", [0, 2])
def test_resumed_training_is_bit_exact(data, tmp_path, workers):
    def trainer(name, num_workers):
        cfg = tiny_cfg(tmp_path / name, data)
        cfg.DATASETS.TEST = ()
        cfg.DATALOADER.NUM_WORKERS = num_workers
        cfg.SOLVER.CHECKPOINT_PERIOD = 3
        return Trainer(cfg)

    assert_resumes_exactly(trainer, workers)


@pytest.mark.parametrize("architecture", ["RetinaNet", "FCOS"])
def test_dense_detectors_resume_exactly_too(data, tmp_path, architecture):
    """Their losses are divided by a running number that is no buffer of the model."""

    def trainer(name, num_workers):
        cfg = tiny_cfg(tmp_path / name, data)
        cfg.DATASETS.TEST, cfg.SOLVER.CHECKPOINT_PERIOD = (), 3
        cfg.MODEL.META_ARCHITECTURE = architecture
        cfg.MODEL.RETINANET.NUM_CLASSES = cfg.MODEL.FCOS.NUM_CLASSES = 2
        cfg.MODEL.RETINANET.NUM_CONVS = cfg.MODEL.FCOS.NUM_CONVS = 1
        cfg.MODEL.FCOS.NORM = ""
        cfg.MODEL.RETINANET.IN_FEATURES = cfg.MODEL.FCOS.IN_FEATURES = ["p2", "p3", "p4", "p5"]
        cfg.MODEL.ANCHOR_GENERATOR.SIZES = [[8], [16], [32], [64]]
        return Trainer(cfg)

    resumed = assert_resumes_exactly(trainer, 0)
    assert resumed.model.loss_normalizer > 1


def test_runs_with_other_seeds_differ(data, tmp_path):
    def total_loss(seed):
        cfg = tiny_cfg(tmp_path / str(seed), data)
        cfg.DATASETS.TEST, cfg.SEED, cfg.SOLVER.MAX_ITER = (), seed, 1
        trainer = Trainer(cfg)
        trainer.train()
        return losses(trainer)["total_loss"][0]

    assert total_loss(1) != total_loss(2)


def test_bfloat16_trains_on_the_cpu(data, tmp_path):
    def train(name, enabled):
        cfg = tiny_cfg(tmp_path / name, data)
        cfg.DATASETS.TEST, cfg.SOLVER.MAX_ITER, cfg.SOLVER.AMP.ENABLED = (), 2, enabled
        cfg.SOLVER.STEPS, cfg.INPUT.MIN_SIZE_TRAIN = (), (32,)
        trainer = Trainer(cfg)
        dtypes = []
        trainer.model.backbone.register_forward_hook(
            lambda module, inputs, maps: dtypes.append(maps["p2"].dtype)
        )
        before = [p.detach().clone() for p in trainer.model.parameters()]
        trainer.train()
        return trainer, dtypes, before

    full, full_types, _ = train("full", False)
    mixed, mixed_types, before = train("mixed", True)
    assert set(full_types) == {torch.float32}
    assert set(mixed_types) == {torch.bfloat16}
    after = list(mixed.model.parameters())
    assert {p.dtype for p in after} == {torch.float32}
    assert any(not torch.equal(a, b) for a, b in zip(before, after))
    # Same seed, hence the same pictures and proposals' randomness: the first loss is close.
    first = losses(full)["total_loss"][0], losses(mixed)["total_loss"][0]
    assert first[1] == pytest.approx(first[0], rel=0.05)
    assert first[1] != first[0]


def test_autocast_ends_with_the_forward_pass(data, tmp_path):
    cfg = tiny_cfg(tmp_path, data)
    cfg.DATASETS.TEST, cfg.SOLVER.MAX_ITER, cfg.SOLVER.AMP.ENABLED = (), 1, True
    trainer = Trainer(cfg)
    seen = []
    parameter = next(trainer.model.parameters())
    parameter.register_hook(lambda grad: seen.append(torch.is_autocast_enabled("cpu")))
    trainer.train()
    assert seen == [False]


def test_precision_is_checked():
    with pytest.raises(ValueError, match=r"SOLVER\.AMP\.PRECISION is 'half'"):
        amp_trainer("half", torch.device("cpu"))


@pytest.mark.parametrize(("instructions", "warned"), [("AVX2", True), ("AVX512", False)])
def test_emulated_bfloat16_is_warned_of(monkeypatch, caplog, instructions, warned):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: instructions)
    with caplog.at_level("WARNING", "drfpn_da.engine.step"):
        amp_trainer("bfloat16", torch.device("cpu"))
    assert ("only emulates bfloat16" in caplog.text) is warned


def test_results_best_checkpoint_and_pictures(data, tmp_path):
    cfg = tiny_cfg(tmp_path, data)
    cfg.SOLVER.MAX_ITER, cfg.TEST.EVAL_PERIOD = 2, 1
    cfg.TEST.BEST_METRIC, cfg.VIS_PERIOD, cfg.TEST.VIS_IMAGES = "bbox/AP", 2, 3
    results = Trainer(cfg).train()
    assert 0 <= results["bbox"]["AP"] <= 100
    assert (tmp_path / "model_best.pth").is_file()
    pictures = sorted(p.name for p in (tmp_path / "predictions").iterdir())
    assert pictures == [f"picture_{i}_0000002.png" for i in range(3)]
    metrics = [json.loads(line) for line in (tmp_path / "metrics.json").read_text().splitlines()]
    assert metrics[-1]["bbox/AP"] == pytest.approx(results["bbox"]["AP"])


def test_best_value_is_remembered_after_a_resume(data, tmp_path):
    cfg = tiny_cfg(tmp_path, data)
    cfg.SOLVER.MAX_ITER, cfg.TEST.EVAL_PERIOD, cfg.SOLVER.CHECKPOINT_PERIOD = 2, 1, 1
    cfg.TEST.BEST_METRIC = "bbox/AP"
    # A better value than can be reached, at an iteration before the checkpoint; and a later one.
    lines = [{"iteration": 0, "bbox/AP": 101.0}, {"iteration": 1, "bbox/AP": 102.0}]
    Path(tmp_path, "metrics.json").write_text("\n".join(map(json.dumps, lines)) + '\n{"iter')
    trainer = Trainer(cfg)
    trainer.start_iter = 1
    trainer.train()
    best = next(h for h in trainer._hooks if type(h).__name__ == "BestCheckpointer")
    assert (best.best_metric, best.best_iter) == (101.0, 0)
    assert not (tmp_path / "model_best.pth").exists()


def test_divergence_names_the_pictures(data, tmp_path):
    cfg = tiny_cfg(tmp_path, data)
    cfg.DATASETS.TEST = ()
    trainer = Trainer(cfg)
    with torch.no_grad():
        trainer.model.roi_heads.box_predictor.cls_score.weight.fill_(float("nan"))
    with pytest.raises(FloatingPointError, match=r"(?s)loss_cls.*picture_\d\.png.*BASE_LR"):
        trainer.train()


def test_missing_wandb_is_explained(data, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "wandb", None)
    cfg = tiny_cfg(tmp_path, data)
    cfg.DATASETS.TEST, cfg.WANDB.ENABLED = (), True
    with pytest.raises(ImportError, match="pip install wandb"):
        Trainer(cfg)
