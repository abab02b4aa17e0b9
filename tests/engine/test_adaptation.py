"""Adapted training: exact resume of both streams, purity of the target, baselines that pair."""

import json

import pytest
import torch
from detectron2.data import DatasetCatalog

from drfpn_da.engine import Trainer
from tests.tiny_coco import register_tiny, register_tiny_domains, tiny_cfg
from tests.training import assert_equal_states, assert_resumes_exactly, losses


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Names of a source set and of a target set of other pictures."""
    return register_tiny_domains(tmp_path_factory.mktemp("domains"), "tiny", targets=6)


def adapted_cfg(folder, *options):
    cfg = tiny_cfg(folder, "tiny_source")
    cfg.DATASETS.TEST = ()
    cfg.DATASETS.TARGET = ("tiny_target",)
    cfg.MODEL.META_ARCHITECTURE = "AdaptiveModel"
    cfg.MODEL.ADAPT.OBJECTIVES = ["StrongWeakAlignment"]
    cfg.MODEL.STRONG_WEAK.GLOBAL.NORM = "GN"
    cfg.MODEL.STRONG_WEAK.GLOBAL.CHANNELS = [64, 64, 64]
    cfg.MODEL.STRONG_WEAK.LOCAL.CHANNELS = [32, 16]
    cfg.SOLVER.TARGET_IMS_PER_BATCH = 2
    cfg.merge_from_list(list(options))
    return cfg


@pytest.mark.parametrize(
    "options",
    [
        ("MODEL.TEACHER.ENABLED", True, "MODEL.STRONG_WEAK.CONTEXT.ENABLED", True),
        # The stop falls on the iteration at which alignment begins.
        ("MODEL.STRONG_WEAK.START_ITER", 3, "MODEL.STRONG_WEAK.GRL.SCHEDULE", "dann"),
    ],
)
def test_resume_is_bit_exact(data, tmp_path, options):
    def trainer(name, workers):
        cfg = adapted_cfg(tmp_path / name, *options, "DATALOADER.NUM_WORKERS", workers)
        cfg.SOLVER.CHECKPOINT_PERIOD = 3
        return Trainer(cfg)

    assert_resumes_exactly(trainer, 2)


def test_what_annotations_a_target_has_makes_no_difference(data, tmp_path, register):
    plain = DatasetCatalog.get("tiny_target")
    garbage = [
        {
            **record,
            "annotations": [
                {"bbox": [-50.0, 9e9, 3.0, 1.0], "bbox_mode": 1, "category_id": 77, "iscrowd": 0}
            ],
            "sem_seg_file_name": "/does/not/exist.png",
        }
        for record in plain
    ]
    empty = [{**record, "annotations": []} for record in plain]
    for name, records in (("tiny_target_empty", empty), ("tiny_target_garbage", garbage)):
        register(name, records, thing_classes=["square", "bar"])
    seen = {}
    for name in ("tiny_target", "tiny_target_empty", "tiny_target_garbage"):
        cfg = adapted_cfg(tmp_path / name, "SOLVER.MAX_ITER", 5)
        cfg.DATASETS.TARGET = (name,)
        trainer = Trainer(cfg)
        trainer.train()
        seen[name] = losses(trainer)
        assert "strong_weak/loss_local_res2_target" in seen[name]
    assert seen["tiny_target"] == seen["tiny_target_empty"] == seen["tiny_target_garbage"]


def test_source_only_sees_the_same_source_batches(data, tmp_path):
    """With the domain loss weighted 0, both runs are the same run."""
    states = []
    for name, options in {
        "adapted": ("MODEL.STRONG_WEAK.LOSS_WEIGHT", 0.0),
        "source_only": ("MODEL.ADAPT.BASELINE", "source_only"),
    }.items():
        trainer = Trainer(adapted_cfg(tmp_path / name, *options))
        trainer.train()
        state = trainer.model.state_dict()
        states.append({k: v for k, v in state.items() if not k.startswith("objectives.")})
    assert_equal_states(*states)


def test_oracle_trains_on_the_labels_of_the_target(data, tmp_path):
    register_tiny("tiny_target_labelled", data / "target")
    cfg = adapted_cfg(tmp_path / "oracle", "MODEL.ADAPT.BASELINE", "oracle")
    cfg.DATASETS.TARGET = ("tiny_target_labelled",)
    trainer = Trainer(cfg)
    trainer.train()
    assert all("/target/" in name for name in trainer.data_loader.file_names)
    assert not any(k.startswith("strong_weak") for k in losses(trainer))


def test_bfloat16_trains_close_to_float32(data, tmp_path):
    """The first step whole; later the box losses part, as rounding changes which are sampled."""
    runs = []
    for amp in (False, True):
        cfg = adapted_cfg(tmp_path / f"amp_{amp}", "SOLVER.AMP.ENABLED", amp)
        cfg.SOLVER.MAX_ITER, cfg.INPUT.MIN_SIZE_TRAIN = 8, (32,)
        trainer = Trainer(cfg)
        trainer.train()
        runs.append(losses(trainer))
        assert all(
            torch.tensor(list(values.values())).isfinite().all() for values in runs[-1].values()
        )
    full, reduced = runs
    assert reduced["total_loss"][0] == pytest.approx(full["total_loss"][0], rel=0.02)
    for domain in ("source", "target"):
        means = [sum(run[f"strong_weak/loss_local_res2_{domain}"].values()) for run in runs]
        assert means[1] == pytest.approx(means[0], rel=0.05)


def test_scalars_of_the_discriminators_are_written(data, tmp_path):
    Trainer(adapted_cfg(tmp_path / "scalars")).train()
    lines = [
        json.loads(x) for x in (tmp_path / "scalars" / "metrics.json").read_text().split("\n") if x
    ]
    for domain in ("source", "target"):
        assert 0 <= lines[-1][f"strong_weak/accuracy_local_res2_{domain}"] <= 1
        assert 0 < lines[-1][f"strong_weak/mean_global_res4_{domain}"] < 1
    assert lines[-1]["strong_weak/grad_norm_global_res4"] > 0
