"""PanopticFPN on COCO, on the schedule of the detectors."""

from detectron2.model_zoo import get_config

from ._common import build_recipe, use_drfpn

model = use_drfpn(get_config("common/models/panoptic_fpn.py").model)
dataloader, optimizer, lr_multiplier, train = build_recipe(lr=0.03, data="coco_panoptic_separated")
train.output_dir = "output/coco/lazy_panoptic_fpn_R_50_DRFPN_1x"
