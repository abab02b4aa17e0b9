"""DRFPN, FCOS, two-step localisation and feature adaptation led by the initial box, on COCO."""

from detectron2.model_zoo import get_config

from ...drfpn.lazy._common import build_recipe, use_drfpn
from ._common import use_paper_schedule, use_slender_parts

model = use_drfpn(get_config("common/models/fcos.py").model)
model = use_slender_parts(model, adaptation="supervised", two_step=True)
dataloader, optimizer, lr_multiplier, train = use_paper_schedule(build_recipe(lr=0.01))
train.output_dir = "output/coco/lazy_slender_fcos_R_50_DRFPN_supervised_1x"
