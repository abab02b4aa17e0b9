#!/usr/bin/env python
"""Train or evaluate a model described by a LazyConfig (a Python file).

    tools/lazyconfig_train_net.py --config-file CONFIG.py train.max_iter=1000
    tools/lazyconfig_train_net.py --config-file CONFIG.py --eval-only train.init_checkpoint=W.pth

As in ``train_net.py``, CONFIG is a path or a name of the model zoo.
"""

import argparse

from detectron2.config import instantiate
from detectron2.engine import default_argument_parser

from drfpn_da.checkpoint import PredictionCheckpointer
from drfpn_da.engine import evaluate_lazy, launch, start_lazy_run, train_lazy


def main(args: argparse.Namespace):
    """Train, or evaluate with ``--eval-only``; return the results."""
    cfg = start_lazy_run(args)
    if args.eval_only:
        model = instantiate(cfg.model).to(cfg.train.device)
        PredictionCheckpointer(model).load(cfg.train.init_checkpoint)
        results = evaluate_lazy(cfg, model.eval())
    else:
        results = train_lazy(cfg, resume=args.resume)
    return results


if __name__ == "__main__":
    launch(main, default_argument_parser().parse_args())
