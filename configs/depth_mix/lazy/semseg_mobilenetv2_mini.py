"""DepthMix on generated streets with 8 labels, on a CPU, from Python alone."""

from detectron2.config import LazyCall as L
from detectron2.data import transforms as T
from detectron2.layers import ShapeSpec
from detectron2.modeling import FPN
from detectron2.modeling.meta_arch.semantic_seg import SemSegFPNHead

from drfpn_da.modeling import MobileNetV2

from ._common import build_data, build_schedule, mixed, segmentor

model = mixed(
    segmentor(
        L(FPN)(
            bottom_up=L(MobileNetV2)(),
            in_features=["res2", "res3", "res4", "res5"],
            out_channels=64,
        ),
        L(SemSegFPNHead)(
            input_shape={
                f"p{level}": ShapeSpec(channels=64, stride=2**level) for level in (2, 3, 4, 5)
            },
            num_classes=11,
            conv_dims=64,
            common_stride=4,
            norm="GN",
            ignore_value=255,
        ),
    )
)
dataloader = build_data(
    train="streets_mini_clear_train",
    test="streets_mini_clear_val",
    count=8,
    seed=0,
    batch=4,
    size=(128, 256),
    augmentations=[
        L(T.ResizeShortestEdge)(short_edge_length=128, max_size=256),
        L(T.RandomFlip)(horizontal=True),
    ],
)
optimizer, lr_multiplier, train = build_schedule(200, 0.01, "output/lazy_depth_mix_streets_mini")
train.device, train.eval_period = "cpu", 200
train.init_checkpoint = "drfpn-da://mobilenet_v2"
