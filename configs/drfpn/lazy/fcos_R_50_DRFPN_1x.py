"""FCOS on COCO; published: box AP 37.6 (val2017)."""

from detectron2.model_zoo import get_config

from ._common import build_recipe, use_drfpn

model = use_drfpn(get_config("common/models/fcos.py").model)
dataloader, optimizer, lr_multiplier, train = build_recipe(lr=0.01)
train.output_dir = "output/coco/lazy_fcos_R_50_DRFPN_1x"
dataloader.train.mapper.use_instance_mask = False
