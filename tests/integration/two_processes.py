"""What each of two processes runs in test_two_processes.py (importable by spawned processes)."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from detectron2.config import CfgNode
from detectron2.utils import comm

from drfpn_da.config import argument_parser
from drfpn_da.data import register_image_folder
from drfpn_da.engine import Trainer
from tests.integration.two_patch_processes import train_in_double
from tests.scripts import load_tool
from tests.tiny_coco import register_tiny, tiny_cfg
from tests.training import train_in_double_precision


def _plain(cfg: CfgNode, folder: Path) -> None:
    pass


def _aligned(cfg: CfgNode, folder: Path) -> None:
    """With a second set, alignment beginning at the third step."""
    _adapt(cfg)
    cfg.MODEL.META_ARCHITECTURE = "AdaptiveModel"
    cfg.MODEL.ADAPT.DETECTOR = "SemanticSegmentor"
    cfg.MODEL.ADAPT.OBJECTIVES = ["StrongWeakAlignment"]
    cfg.MODEL.STRONG_WEAK.START_ITER = 2
    cfg.MODEL.STRONG_WEAK.GLOBAL.NORM = "GN"
    cfg.MODEL.STRONG_WEAK.GLOBAL.DROPOUT = 0.0
    cfg.MODEL.TEACHER.ENABLED = True


def _mixed(cfg: CfgNode, folder: Path) -> None:
    """Mixed by depth: a process pairs its own pictures."""
    _adapt(cfg)
    # Two pictures in each process.
    cfg.SOLVER.IMS_PER_BATCH, cfg.SOLVER.TARGET_IMS_PER_BATCH = 2, 4
    cfg.SOLVER.MAX_ITER, cfg.SOLVER.STEPS = 3, (2,)
    cfg.MODEL.META_ARCHITECTURE = "DepthMixSegmentor"
    cfg.MODEL.TEACHER.DECAY = 0.9
    cfg.MODEL.DEPTH_MIX.CONFIDENCE = 0.3
    cfg.MODEL.DEPTH_MIX.STRONG.COLOR_JITTER_PROB = cfg.MODEL.DEPTH_MIX.STRONG.BLUR_PROB = 0.0
    cfg.INPUT.DISPARITY.ENABLED, cfg.INPUT.DISPARITY.ROOT = True, str(folder / "disparity")


def _unmixed(cfg: CfgNode, folder: Path) -> None:
    """The same where neither pairs nor the share of confident pixels depend on the process."""
    _mixed(cfg, folder)
    cfg.MODEL.DEPTH_MIX.MASK = "none"
    cfg.MODEL.DEPTH_MIX.CONFIDENCE_RULE = "per_pixel"


def _stored(cfg: CfgNode, folder: Path) -> None:
    """Soft labels of all target pictures from files, of which each process writes a share."""
    _adapt(cfg)
    cfg.SOLVER.MAX_ITER, cfg.SOLVER.STEPS = 4, (3,)
    cfg.MODEL.META_ARCHITECTURE = "AdaptiveModel"
    cfg.MODEL.ADAPT.DETECTOR = "SemanticSegmentor"
    cfg.MODEL.ADAPT.OBJECTIVES = ["DensePseudoLabel"]
    cfg.INPUT.TARGET_VIEWS = ["weak", "strong"]
    node = cfg.MODEL.PSEUDO_LABEL
    node.SOFT, node.THRESHOLD, node.PRIOR.WEIGHT, node.ENTROPY_WEIGHT = True, 0.0, 0.5, 0.1
    node.STORE.ENABLED, node.STORE.PERIOD = True, 2


def _adapt(cfg: CfgNode) -> None:
    cfg.DATASETS.TARGET = ("tiny_two_target",)
    cfg.SOLVER.TARGET_IMS_PER_BATCH = 2


#: Kinds of training of :func:`train_segmentor`.
KINDS = {
    "two": _plain,
    "aligned_two": _aligned,
    "mixed_two": _mixed,
    "unmixed_two": _unmixed,
    "stored_two": _stored,
}


def train_segmentor(folder: Path, output: str, kind: str) -> Trainer:
    """Train a segmentor whose loss and norms do not depend on how a batch is divided.

    In double precision, where five steps amplify no rounding to speak of.
    """
    register_tiny("tiny_two", folder, sem_seg=True)
    register_image_folder("tiny_two_target", str(folder / "target" / "images"))
    cfg = tiny_cfg(folder / output, "tiny_two", sem_seg=True)
    cfg.DATASETS.TEST = ()
    # One size: pictures of unequal sizes would be padded by what else is in their batch.
    cfg.INPUT.MIN_SIZE_TRAIN = (64,)
    cfg.SOLVER.MAX_ITER = 5
    KINDS[kind](cfg, folder)
    trainer = train_in_double_precision(cfg)
    return trainer


def train_both(folder: Path, words: list[str]) -> None:
    """Train segmentors, a classifier, and a detector by the command line of train_net."""
    torch.set_num_threads(1)
    for kind in KINDS:
        trainer = train_segmentor(folder, kind, kind)
        torch.save(trainer.model.module.state_dict(), folder / f"{kind}_{comm.get_rank()}.pth")
    train_in_double(folder / "patches", labelled_per_batch=1)
    tool = load_tool("train_net")
    results = tool.main(argument_parser().parse_args(words))
    if comm.is_main_process():
        (folder / "results.json").write_text(json.dumps(results["bbox"]))
