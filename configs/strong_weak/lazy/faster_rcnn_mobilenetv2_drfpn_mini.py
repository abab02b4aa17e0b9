"""Generated streets on a CPU, clear to foggy, from Python alone."""

from ...drfpn.lazy.faster_rcnn_mobilenetv2_drfpn_mini import (  # noqa: F401  parts that stay
    dataloader,
    lr_multiplier,
    model,
    optimizer,
    train,
)
from ._common import adapt, two_streams

model = adapt(model, res2_channels=24, res4_channels=96)
dataloader.train = two_streams(dataloader, "streets_mini_foggy_train")
train.output_dir = "output/lazy_streets_mini_strong_weak"
