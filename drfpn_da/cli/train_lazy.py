"""Train or evaluate a LazyConfig: the work of ``drfpn-da train`` with a Python file."""

from __future__ import annotations

import argparse
from typing import Any

from detectron2.config import instantiate

from ..checkpoint import PredictionCheckpointer
from ..engine import evaluate_lazy, start_lazy_run, train_lazy


def main(args: argparse.Namespace) -> Any:
    """Train, or evaluate with ``--eval-only``; return the results."""
    cfg = start_lazy_run(args)
    if args.eval_only:
        model = instantiate(cfg.model).to(cfg.train.device)
        PredictionCheckpointer(model).load(cfg.train.init_checkpoint)
        return evaluate_lazy(cfg, model.eval())
    return train_lazy(cfg, resume=args.resume)
