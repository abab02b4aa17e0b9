"""Runs of shipped configs on stand-ins of their data: small pictures, few proposals, two steps."""

from __future__ import annotations

from typing import Any

from detectron2.config import CfgNode, instantiate
from omegaconf import DictConfig, ListConfig

from drfpn_da.config.combinations import lookup
from drfpn_da.engine import Trainer, scale_to_processes
from drfpn_da.engine.lazy import train_lazy
from drfpn_da.engine.relabel_votes import Windows
from drfpn_da.modeling import AdaptiveModel
from tests.stand_ins import stand_in
from tests.training import losses

STARTS = (
    "TEACHER.START_ITER",
    "PSEUDO_LABEL.START_ITER",
    "DEPTH_MIX.START_ITER",
    "STRONG_WEAK.START_ITER",
    "DEPTH.START_ITER",
)
SMALL = [
    *("MODEL.DEVICE", "cpu", "MODEL.WEIGHTS", "", "DATALOADER.NUM_WORKERS", 0, "SEED", 5),
    *("INPUT.MIN_SIZE_TRAIN", (64,), "INPUT.MAX_SIZE_TRAIN", 128),
    *("INPUT.MIN_SIZE_TEST", 64, "INPUT.MAX_SIZE_TEST", 128),
    *("MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE", 16),
    *("MODEL.RPN.POST_NMS_TOPK_TRAIN", 50, "MODEL.RPN.POST_NMS_TOPK_TEST", 50),
]


class OnlySteps(Trainer):
    """Without evaluation when training ends."""

    @classmethod
    def test(cls, cfg, model, evaluators=None):
        return {}


def shrink(cfg: CfgNode, folder) -> None:
    """Small pictures, few of them; where the config has more data, as much as there is."""
    cfg.merge_from_list([*SMALL, "OUTPUT_DIR", str(folder / "out"), "TEST.BEST_METRIC", ""])
    if cfg.INPUT.CROP.ENABLED and cfg.INPUT.CROP.TYPE == "absolute":
        cfg.INPUT.CROP.SIZE = [64, 64]
    cfg.INPUT.DISPARITY.ROOT = ""
    if cfg.MODEL.RESNETS.NORM == "FrozenBN":
        # Made for pretrained weights: random ones overflow.
        cfg.MODEL.RESNETS.NORM = "BN"
    if "cifar" not in cfg.DATASETS.TRAIN[0]:
        # Two pictures, or two for each process that a batch is meant for.
        cfg.SOLVER.IMS_PER_BATCH = 2 * max(cfg.SOLVER.REFERENCE_WORLD_SIZE, 1)
        if cfg.SOLVER.TARGET_IMS_PER_BATCH:
            cfg.SOLVER.TARGET_IMS_PER_BATCH = cfg.SOLVER.IMS_PER_BATCH
        cfg.DATASETS.LABELLED.COUNT = min(cfg.DATASETS.LABELLED.COUNT, 6)


def own_starts(cfg: CfgNode) -> list[int]:
    """Iterations at which something of the config starts."""
    cfg = scale_to_processes(cfg, 1)
    starts = {lookup(cfg, f"MODEL.{key}") for key in STARTS}
    if cfg.MODEL.META_ARCHITECTURE == "SoftLabelClassifier":
        starts.add(cfg.MODEL.SOFT_LABELS.WARMUP_ITERS)
    if cfg.SCN_RELABEL.ENABLED:
        starts.add(Windows.from_config(cfg, 12).start)
    return sorted(starts - {0})


def run_yaml(cfg: CfgNode, folder, monkeypatch) -> None:
    shrink(cfg, folder)
    for name in {*cfg.DATASETS.TRAIN, *cfg.DATASETS.TARGET, *cfg.DATASETS.TEST}:
        stand_in(name, folder, monkeypatch)
    for index, start in enumerate(own_starts(cfg) or [1]):
        cfg.OUTPUT_DIR = str(folder / f"out{index}")
        trainer = OnlySteps(cfg)
        before = [p.detach().clone() for p in trainer.model.parameters()]
        trainer.start_iter, trainer.max_iter = start - 1, start + 1
        trainer.train()
        assert any((a != b).any() for a, b in zip(before, trainer.model.parameters()))
        logged = losses(trainer)
        assert set(logged["total_loss"]) == {start - 1, start}
        if isinstance(trainer.model, AdaptiveModel):
            for objective in trainer.model.objectives.values():
                mine = {k for k in logged if k.startswith(f"{objective.name}/loss")}
                assert start < objective.start_iter or any(start in logged[k] for k in mine)
    for name in cfg.DATASETS.TEST[:1]:
        assert next(iter(Trainer.build_test_loader(cfg, name)))[0]["image"].numel()


def shrink_lazy(node: Any) -> None:
    """As :func:`shrink`, and what starts later starts at the second step."""
    small = {
        **dict.fromkeys(("short_edge_length",), 64),
        **{"max_size": 128, "crop_size": [64, 64], "batch_size_per_image": 16, "num_workers": 0},
        **{"total_batch_size": 2, "count": 6, "post_nms_topk": [50, 50], "root": ""},
    }
    for key in list(node) if isinstance(node, DictConfig) else range(len(node)):
        if isinstance(node, DictConfig) and key in small and not _is_link(node, key):
            node[key] = small[key]
        elif isinstance(node, DictConfig) and str(key).endswith("start_iter") and node[key] > 0:
            node[key] = 1
        elif not _is_link(node, key) and isinstance(node[key], (DictConfig, ListConfig)):
            shrink_lazy(node[key])


def _is_link(node: Any, key: Any) -> bool:
    raw = node._get_node(key)
    return raw is not None and raw._is_interpolation()


def set_names(node: Any) -> set[str]:
    """Names of the data sets of a section."""
    found: set[str] = set()
    for key in list(node) if isinstance(node, DictConfig) else range(len(node)):
        value = node[key]
        if key == "names":
            found |= {value} if isinstance(value, str) else set(value)
        elif isinstance(value, (DictConfig, ListConfig)):
            found |= set_names(value)
    return found


def run_lazy(cfg: DictConfig, folder, monkeypatch) -> None:
    shrink_lazy(cfg.model)
    shrink_lazy(cfg.dataloader)
    # Every reference still points somewhere.
    names = set_names(cfg.dataloader)
    cfg.train.update(device="cpu", max_iter=2, eval_period=0, init_checkpoint="", seed=3)
    cfg.train.update(output_dir=str(folder / "out"), log_period=1)
    for hook in cfg.train.get("hooks", []):
        hook.windows.update(start=1, stop=3, period=1)
        hook.journal = str(folder / "journal.jsonl")
    for name in names:
        stand_in(name, folder, monkeypatch)
    monkeypatch.setattr("drfpn_da.engine.lazy.evaluate_lazy", lambda cfg, model: {})
    train_lazy(cfg)
    written = (folder / "out" / "metrics.json").read_text()
    assert '"iteration": 1' in written and "NaN" not in written
    sample = next(iter(instantiate(cfg.dataloader.test)))
    assert sample[0]["image"].numel()
