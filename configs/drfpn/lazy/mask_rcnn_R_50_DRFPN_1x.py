"""Mask R-CNN on COCO; published: box AP 39.7, mask AP 35.9 (val2017)."""

from detectron2.model_zoo import get_config

from ._common import build_recipe, use_drfpn

model = use_drfpn(get_config("common/models/mask_rcnn_fpn.py").model)
dataloader, optimizer, lr_multiplier, train = build_recipe(lr=0.03)
train.output_dir = "output/coco/lazy_mask_rcnn_R_50_DRFPN_1x"
