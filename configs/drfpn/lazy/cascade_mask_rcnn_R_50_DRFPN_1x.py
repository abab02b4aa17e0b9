"""Cascade Mask R-CNN on COCO; published: box AP 42.8, mask AP 37.4 (val2017)."""

from detectron2.model_zoo import get_config

from ._common import build_recipe, use_drfpn

model = use_drfpn(get_config("common/models/cascade_rcnn.py").model)
dataloader, optimizer, lr_multiplier, train = build_recipe(lr=0.03)
train.output_dir = "output/coco/lazy_cascade_mask_rcnn_R_50_DRFPN_1x"
