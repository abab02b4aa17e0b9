"""Segmentation and depth in one network, on generated sequences, on a CPU; a smoke run.

Train depth/lazy/mobilenetv2_mini.py first, from which both decoders start.
"""

from detectron2.config import LazyCall as L
from detectron2.data import transforms as T

from drfpn_da.data import NeighbourMapper, get_sequence_dicts
from drfpn_da.data.sequences import SEQUENCE_FIELDS
from drfpn_da.modeling import MobileNetV2, MultiTaskSemSegHead, PoseNetwork
from drfpn_da.objectives import SelfSupervisedDepth

from ...depth.lazy.mobilenetv2_mini import features
from ._common import build_data, build_schedule, mixed, segmentor

model = mixed(
    segmentor(
        L(MobileNetV2)(),
        L(MultiTaskSemSegHead)(
            input_shape=features, num_classes=11, channels=[8, 16, 24, 32, 64], exchange_stride=4
        ),
    ),
    L(SelfSupervisedDepth)(pose=L(PoseNetwork)(body="conv")),
    depth="student",
)
dataloader = build_data(
    train="streets_mini_clear_sequences",
    test="streets_mini_clear_val",
    count=8,
    seed=0,
    batch=2,
    size=(80, 160),
    augmentations=[
        L(T.ResizeShortestEdge)(short_edge_length=80, max_size=160),
        L(T.RandomFlip)(horizontal=True),
    ],
)
_target = dataloader.train.target
_target.dataset = L(get_sequence_dicts)(names="streets_mini_clear_sequences")
_target.keep = SEQUENCE_FIELDS
_target.mapper = L(NeighbourMapper)(mapper="${...source.mapper}")
optimizer, lr_multiplier, train = build_schedule(20, 0.01, "output/lazy_multi_task_streets_mini")
train.device, train.eval_period = "cpu", 20
train.init_checkpoint = "drfpn-da://multi_task/output/lazy_depth_streets_mini/model_final.pth"
