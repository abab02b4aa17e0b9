"""DepthMix on Cityscapes with 372 labels: SemSegFPN over ResNet-50; for CUDA."""

from detectron2.config import LazyCall as L
from detectron2.data import transforms as T
from detectron2.model_zoo import get_config

from ._common import build_data, build_schedule, mixed, segmentor

_base = get_config("common/models/panoptic_fpn.py").model
_base.backbone.bottom_up.update(freeze_at=0)
_base.backbone.bottom_up.stem.norm = _base.backbone.bottom_up.stages.norm = "BN"
_base.backbone.bottom_up.stages.stride_in_1x1 = False
_base.sem_seg_head.update(num_classes=19, loss_weight=1.0)
model = mixed(
    segmentor(_base.backbone, _base.sem_seg_head),
    colours={"color_rule": "published", "gate": "batch"},
)

dataloader = build_data(
    train="cityscapes_small_train",
    test="cityscapes_small_val",
    count=372,
    seed=42,
    batch=2,
    size=(512, 1024),
    augmentations=[
        L(T.RandomCrop)(crop_type="absolute", crop_size=[512, 512]),
        L(T.RandomFlip)(horizontal=True),
    ],
    disparity="disparity/cityscapes",
    classes=19,
)
optimizer, lr_multiplier, train = build_schedule(
    40000, 0.01, "output/lazy_depth_mix_cityscapes_372"
)
train.clip_gradients = {"clip_type": "full_model", "clip_value": 10.0}
train.eval_period = 2500
train.init_checkpoint = "detectron2://ImageNetPretrained/torchvision/R-50.pkl"
