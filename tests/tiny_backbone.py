"""A pyramid over a ResNet of four blocks: what tests train that are about training."""

from detectron2.modeling import BACKBONE_REGISTRY
from detectron2.modeling.backbone.fpn import FPN, LastLevelMaxPool
from detectron2.modeling.backbone.resnet import BasicBlock, BasicStem, ResNet

# Of the stages: group norm wants multiples of 32, a block with stride more than it is given.
CHANNELS = (32, 64, 96, 128)


@BACKBONE_REGISTRY.register()
def build_tiny_fpn_backbone(cfg, input_shape):
    """Features and strides as of detectron2's ResNet with FPN, a thirtieth of the parameters."""
    norm = cfg.MODEL.RESNETS.NORM
    stages = [
        ResNet.make_stage(
            BasicBlock,
            1,
            stride_per_block=[1 if i == 0 else 2],
            in_channels=CHANNELS[max(i - 1, 0)],
            out_channels=CHANNELS[i],
            norm=norm,
        )
        for i in range(len(CHANNELS))
    ]
    stem = BasicStem(input_shape.channels, CHANNELS[0], norm)
    features = cfg.MODEL.FPN.IN_FEATURES
    body = ResNet(stem, stages, out_features=features)
    return FPN(body, features, cfg.MODEL.FPN.OUT_CHANNELS, top_block=LastLevelMaxPool())
