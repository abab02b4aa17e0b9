"""Cityscapes to Foggy Cityscapes, beta 0.02: Faster R-CNN over DRFPN and ResNet-50."""

from ...drfpn.lazy.faster_rcnn_R_50_DRFPN_1x import (
    dataloader,
    lr_multiplier,
    model,
    optimizer,
    train,
)
from ._common import adapt, two_streams

ITERATIONS = 20000

# res2 must be trainable for the local alignment to act on it.
model.backbone.bottom_up.freeze_at = 1
model.roi_heads.num_classes = 8
model = adapt(model)

dataloader.train.dataset.names = "cityscapes_boxes_train"
dataloader.train.total_batch_size = 8
dataloader.test.dataset.names = "foggy_cityscapes_beta_0.02_val"
for part in (dataloader.train, dataloader.test):
    part.mapper.augmentations[0].short_edge_length = 600
dataloader.train = two_streams(dataloader, "foggy_cityscapes_beta_0.02_train")

optimizer.lr = 0.01
lr_multiplier.scheduler.values = [1.0, 0.1]
lr_multiplier.scheduler.milestones = [15000, ITERATIONS]
lr_multiplier.warmup_length = 500 / ITERATIONS
train.max_iter = ITERATIONS
train.eval_period = 2500
train.output_dir = "output/strong_weak/lazy_foggy_cityscapes"
