"""Generated streets on a CPU: Faster R-CNN over MobileNetV2, from Python alone."""

from detectron2.config import LazyCall as L
from detectron2.evaluation import COCOEvaluator
from detectron2.model_zoo import get_config
from detectron2.modeling.backbone.fpn import LastLevelMaxPool

from drfpn_da.modeling import DRFPN, MobileNetV2

model = get_config("common/models/mask_rcnn_fpn.py").model
model.backbone = L(DRFPN)(
    bottom_up=L(MobileNetV2)(),
    in_features=["res2", "res3", "res4", "res5"],
    out_channels=64,
    top_block=L(LastLevelMaxPool)(),
)
model.proposal_generator.anchor_generator.sizes = [[16], [32], [64], [128], [256]]
model.proposal_generator.head.in_channels = 64
model.roi_heads.box_head.input_shape.channels = 64
model.roi_heads.box_predictor.input_shape.channels = 256
model.proposal_generator.pre_nms_topk = (500, 500)
model.proposal_generator.post_nms_topk = (300, 300)
model.roi_heads.num_classes = 6
model.roi_heads.batch_size_per_image = 128
model.roi_heads.box_head.fc_dims = [256, 256]
model.roi_heads.mask_in_features = None
for name in ("mask_pooler", "mask_head"):
    model.roi_heads.pop(name)
model.input_format = "RGB"
model.pixel_mean = [123.675, 116.28, 103.53]
model.pixel_std = [58.395, 57.12, 57.375]

dataloader = get_config("common/data/coco.py").dataloader
dataloader.train.dataset.names = "streets_mini_clear_train"
dataloader.test.dataset.names = "streets_mini_foggy_val"
dataloader.train.mapper.use_instance_mask = False
for part in (dataloader.train, dataloader.test):
    part.mapper.image_format = "RGB"
    part.num_workers = 1
    part.mapper.augmentations[0].short_edge_length = 192
    part.mapper.augmentations[0].max_size = 384
dataloader.train.total_batch_size = 4
dataloader.evaluator = L(COCOEvaluator)(dataset_name="${..test.dataset.names}")

optimizer = get_config("common/optim.py").SGD
optimizer.lr = 0.01
lr_multiplier = get_config("common/coco_schedule.py").lr_multiplier_1x
lr_multiplier.scheduler.milestones = [180, 220, 240]
lr_multiplier.warmup_length = 40 / 240
train = get_config("common/train.py").train
train.device = "cpu"
train.max_iter = 240
train.eval_period = 240
train.init_checkpoint = "drfpn-da://mobilenet_v2"
train.output_dir = "output/lazy_streets_mini"
