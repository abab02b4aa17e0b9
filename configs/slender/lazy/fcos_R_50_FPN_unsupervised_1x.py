"""FCOS with slender centerness and unsupervised feature adaptation on COCO."""

from detectron2.model_zoo import get_config

from ...drfpn.lazy._common import build_recipe
from ._common import use_paper_schedule, use_slender_parts

model = use_slender_parts(get_config("common/models/fcos.py").model)
dataloader, optimizer, lr_multiplier, train = use_paper_schedule(build_recipe(lr=0.01))
train.output_dir = "output/coco/lazy_slender_fcos_R_50_FPN_unsupervised_1x"
