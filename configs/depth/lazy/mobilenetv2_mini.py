"""Depth from generated street sequences on a CPU, from Python alone; a smoke run."""

import torch
from detectron2.config import LazyCall as L
from detectron2.data import transforms as T
from detectron2.layers import ShapeSpec
from detectron2.model_zoo import get_config
from detectron2.solver.build import get_default_optimizer_params

from drfpn_da.data import SequenceMapper, build_train_loader, get_sequence_dicts
from drfpn_da.evaluation import DepthEvaluator
from drfpn_da.modeling import (
    DepthDecoder,
    MobileNetV2,
    PoseNetwork,
    SelfSupervisedDepth,
    ViewSynthesis,
)

features = {
    name: ShapeSpec(channels=channels, stride=stride)
    for name, channels, stride in (
        ("res2", 24, 4),
        ("res3", 32, 8),
        ("res4", 96, 16),
        ("res5", 320, 32),
    )
}
model = L(SelfSupervisedDepth)(
    backbone=L(MobileNetV2)(),
    decoder=L(DepthDecoder)(input_shape=features, channels=[8, 16, 24, 32, 64]),
    pose=L(PoseNetwork)(body="conv"),
    synthesis=L(ViewSynthesis)(auto_mask=True),
    pixel_mean=[123.675, 116.28, 103.53],
    pixel_std=[58.395, 57.12, 57.375],
)

dataloader = get_config("common/data/coco.py").dataloader
dataloader.train = L(build_train_loader)(
    dataset=L(get_sequence_dicts)(names="streets_mini_clear_sequences"),
    mapper=L(SequenceMapper)(
        augmentations=[
            L(T.ResizeShortestEdge)(short_edge_length=80, max_size=160),
            L(T.RandomFlip)(horizontal=True),
        ],
        color_jitter_prob=0.5,
    ),
    total_batch_size=2,
    num_workers=1,
)
dataloader.test.dataset.names = "streets_mini_clear_val"
dataloader.test.num_workers = 1
dataloader.test.mapper.image_format = "RGB"
dataloader.test.mapper.augmentations[0].update(short_edge_length=80, max_size=160)
dataloader.evaluator = L(DepthEvaluator)(dataset_name="${..test.dataset.names}")

optimizer = L(torch.optim.Adam)(params=L(get_default_optimizer_params)(), lr=0.0003)
lr_multiplier = get_config("common/coco_schedule.py").lr_multiplier_1x
lr_multiplier.scheduler.update(milestones=[16, 18, 20])
lr_multiplier.warmup_length = 0.1
train = get_config("common/train.py").train
train.update(
    device="cpu",
    max_iter=20,
    eval_period=20,
    init_checkpoint="",
    output_dir="output/lazy_depth_streets_mini",
)
