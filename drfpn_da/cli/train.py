"""Train or evaluate: the work of ``drfpn-da train`` and ``drfpn-da evaluate``."""

from __future__ import annotations

import argparse
from typing import Any

from detectron2.evaluation import verify_results
from detectron2.evaluation.testing import flatten_results_dict
from detectron2.utils import comm

from ..checkpoint import PredictionCheckpointer
from ..config import setup_cfg
from ..engine import Trainer, launch, start_run
from .train_lazy import main as main_lazy


def run(args: argparse.Namespace) -> Any:
    """Train or evaluate in the processes that were asked for; see :func:`main`."""
    return launch(main_lazy if args.config_file.endswith(".py") else main, args)


def main(args: argparse.Namespace) -> Any:
    """Train, or evaluate with ``--eval-only``; return the results."""
    cfg = setup_cfg(args)
    checkpoints = cfg.OUTPUT_DIR
    cfg = start_run(cfg, args)
    if args.eval_only:
        model = Trainer.build_model(cfg)
        PredictionCheckpointer(model, save_dir=checkpoints).resume_or_load(
            cfg.MODEL.WEIGHTS, resume=args.resume
        )
        results: Any = Trainer.test(cfg, model)
        if cfg.TEST.AUG.ENABLED:
            results.update(Trainer.test_with_TTA(cfg, model))
        if comm.is_main_process():
            verify_results(cfg, results)
    else:
        trainer = Trainer(cfg)
        trainer.resume_or_load(resume=args.resume)
        results = trainer.train()
    if comm.is_main_process():
        for name, value in flatten_results_dict(results or {}).items():
            print(f"{name:30} {value:8.3f}")
        print(f"Everything is in {cfg.OUTPUT_DIR}")
    return results
