"""Faster R-CNN on COCO; published: box AP 39.1 (val2017)."""

from detectron2.model_zoo import get_config

from ._common import build_recipe, use_drfpn

model = use_drfpn(get_config("common/models/mask_rcnn_fpn.py").model)
dataloader, optimizer, lr_multiplier, train = build_recipe(lr=0.03)
train.output_dir = "output/coco/lazy_faster_rcnn_R_50_DRFPN_1x"
dataloader.train.mapper.use_instance_mask = False
model.roi_heads.mask_in_features = None
for name in ("mask_pooler", "mask_head"):
    model.roi_heads.pop(name)
