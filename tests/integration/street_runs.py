"""Short runs on generated streets: train, checkpoint, resume, evaluate."""

from __future__ import annotations

from detectron2.config import CfgNode

from drfpn_da.engine import Trainer
from drfpn_da.modeling import AdaptiveModel
from tests.training import assert_resumes_exactly, losses

STEPS = 4


def shorten(cfg: CfgNode, separated: bool = False) -> CfgNode:
    """Return the config with small pictures and four steps, everything at work from the start."""
    end = "_separated" if separated else ""
    cfg = cfg.clone()
    cfg.defrost()
    cfg.merge_from_list(
        [
            *("MODEL.WEIGHTS", "", "MODEL.MOBILENETV2.NORM", "BN"),
            *("MODEL.TEACHER.START_ITER", 0, "MODEL.TEACHER.DECAY", 0.9),
            *("MODEL.STRONG_WEAK.START_ITER", 0, "MODEL.DEPTH_MIX.START_ITER", 0),
            *("MODEL.PSEUDO_LABEL.START_ITER", 0, "MODEL.PSEUDO_LABEL.RAMP_ITERS", 2),
            # An untrained teacher is sure of nothing.
            *("MODEL.PSEUDO_LABEL.THRESHOLD", 0.05, "MODEL.PSEUDO_LABEL.ADAPTIVE.FLOOR", 0.0),
            *("MODEL.ROI_HEADS.SCORE_THRESH_TEST", 0.0, "TEST.DETECTIONS_PER_IMAGE", 10),
            # Four steps are an epoch of the twelve pictures, and a window of votes.
            *("DATASETS.LABELLED.COUNT", 0, "SOLVER.IMS_PER_BATCH", 3),
            *("SCN_RELABEL.START_FRACTION", 0.0, "SCN_RELABEL.STOP_FRACTION", 1.0),
            *("SCN_RELABEL.PATIENCE", 1),
            *("DATASETS.TRAIN", (f"streets_mini_clear_sequences{end}",)),
            *("DATASETS.TEST", (f"streets_mini_clear_val{end}",)),
            *("DATASETS.TARGET", ("streets_mini_foggy_sequences",)),
            *("INPUT.MIN_SIZE_TRAIN", (64,), "INPUT.MIN_SIZE_TEST", 64),
            *("INPUT.MAX_SIZE_TRAIN", 128, "INPUT.MAX_SIZE_TEST", 128),
            *("SOLVER.TARGET_IMS_PER_BATCH", 2, "SOLVER.BASE_LR", 1e-3, "SOLVER.STEPS", ()),
            *("SOLVER.MAX_ITER", STEPS, "SOLVER.CHECKPOINT_PERIOD", STEPS // 2),
            *("TEST.EVAL_PERIOD", 0, "TEST.BEST_METRIC", "", "SEED", 5),
        ]
    )
    return cfg


def run(cfg: CfgNode, folder) -> dict:
    """Train with a stop and without one, assert that both are equal, and return the results."""

    def build(name: str, workers: int) -> Trainer:
        own = cfg.clone()
        own.OUTPUT_DIR, own.DATALOADER.NUM_WORKERS = str(folder / name), workers
        return Trainer(own)

    resumed = assert_resumes_exactly(build, 0, STEPS // 2)
    results = Trainer.test(resumed.cfg, resumed.model)
    assert results
    adapted = isinstance(resumed.model, AdaptiveModel)
    trained = losses(resumed)
    for objective in resumed.model.objectives.values() if adapted else ():
        assert any(key.startswith(f"{objective.name}/loss") for key in trained), objective.name
    return results
