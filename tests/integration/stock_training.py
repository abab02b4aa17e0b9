"""Train a stock detectron2 config for three steps and save the state; run also as a script.

Knows nothing of drfpn_da, so that as a script it runs without.
"""

import sys
from pathlib import Path

import torch
from detectron2.config import get_cfg
from detectron2.data import DatasetCatalog
from detectron2.data.datasets import register_coco_instances
from detectron2.engine import DefaultTrainer
from detectron2.model_zoo import get_config_file
from detectron2.utils.env import seed_all_rng

OPTIONS = {
    "DATASETS.TEST": (),
    "DATALOADER.NUM_WORKERS": 0,
    "MODEL.DEVICE": "cpu",
    "MODEL.WEIGHTS": "",
    "MODEL.RESNETS.DEPTH": 18,
    "MODEL.RESNETS.RES2_OUT_CHANNELS": 64,
    "MODEL.RESNETS.NORM": "GN",
    "MODEL.FPN.OUT_CHANNELS": 32,
    "MODEL.ROI_BOX_HEAD.FC_DIM": 32,
    "MODEL.ROI_HEADS.NUM_CLASSES": 2,
    "MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE": 16,
    "INPUT.MIN_SIZE_TRAIN": (56, 64),
    "SOLVER.IMS_PER_BATCH": 2,
    "SOLVER.MAX_ITER": 3,
}


def train_stock(data: Path, output: Path) -> None:
    """Train on the tiny data set below ``data``; save model and optimiser in ``output``."""
    name = f"stock_{output.stem}"
    register_coco_instances(name, {}, str(data / "tiny.json"), str(data / "images"))
    cfg = get_cfg()
    cfg.merge_from_file(get_config_file("COCO-Detection/faster_rcnn_R_50_FPN_1x.yaml"))
    for key, value in OPTIONS.items():
        cfg.merge_from_list([key, value])
    cfg.DATASETS.TRAIN, cfg.OUTPUT_DIR = (name,), str(output.with_suffix(""))
    Path(cfg.OUTPUT_DIR).mkdir()
    seed_all_rng(11)
    trainer = DefaultTrainer(cfg)
    trainer.train()
    DatasetCatalog.remove(name)
    state = {"model": trainer.model.state_dict(), "optimizer": trainer.optimizer.state_dict()}
    torch.save(state, output)


if __name__ == "__main__":
    train_stock(Path(sys.argv[1]), Path(sys.argv[2]))
    assert "drfpn_da" not in sys.modules
