#!/usr/bin/env python
"""Train or evaluate a model described by a YAML config.

tools/train_net.py --config-file drfpn/bccd/faster_rcnn_mobilenetv2_drfpn.yaml
tools/train_net.py --config-file CONFIG --eval-only MODEL.WEIGHTS output/model_final.pth
tools/train_net.py --config-file CONFIG --register mine labels.json pictures/ \
        DATASETS.TRAIN "('mine',)" DATASETS.TEST "('mine',)" MODEL.ROI_HEADS.NUM_CLASSES 2
"""

import argparse

from detectron2.evaluation import verify_results
from detectron2.evaluation.testing import flatten_results_dict
from detectron2.utils import comm

from drfpn_da.checkpoint import PredictionCheckpointer
from drfpn_da.config import argument_parser, setup_cfg
from drfpn_da.engine import Trainer, launch, start_run


def main(args: argparse.Namespace):
    """Train, or evaluate with ``--eval-only``; return the results."""
    cfg = setup_cfg(args)
    checkpoints = cfg.OUTPUT_DIR
    cfg = start_run(cfg, args)
    if args.eval_only:
        model = Trainer.build_model(cfg)
        PredictionCheckpointer(model, save_dir=checkpoints).resume_or_load(
            cfg.MODEL.WEIGHTS, resume=args.resume
        )
        results = Trainer.test(cfg, model)
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


if __name__ == "__main__":
    launch(main, argument_parser().parse_args())
