"""A project of someone else: stock trainer, stock RetinaNet, adapted. Run as a script."""

import sys

from detectron2.config import get_cfg
from detectron2.engine import DefaultTrainer
from detectron2.model_zoo import get_config_file

import drfpn_da
from drfpn_da.data import build_two_stream_loader, register_coco_json, register_image_folder


class ForeignTrainer(DefaultTrainer):
    @classmethod
    def build_train_loader(cls, cfg):
        return build_two_stream_loader(cfg)


if __name__ == "__main__":
    register_coco_json("mine", *sys.argv[1:3])
    register_image_folder("theirs", sys.argv[2])
    cfg = get_cfg()
    drfpn_da.add_drfpn_da_config(cfg)
    cfg.merge_from_file(get_config_file("COCO-Detection/retinanet_R_50_FPN_1x.yaml"))
    cfg.merge_from_list(sys.argv[4:])
    cfg.MODEL.META_ARCHITECTURE, cfg.MODEL.ADAPT.DETECTOR = "AdaptiveModel", "RetinaNet"
    cfg.MODEL.ADAPT.OBJECTIVES = ["StrongWeakAlignment"]
    cfg.MODEL.BACKBONE.FREEZE_AT = 1
    cfg.DATASETS.TRAIN, cfg.DATASETS.TARGET, cfg.DATASETS.TEST = ("mine",), ("theirs",), ()
    cfg.OUTPUT_DIR = sys.argv[3]
    trainer = ForeignTrainer(cfg)
    trainer.resume_or_load()
    trainer.train()
