"""ResNet for pictures of about 32x32 pixels (He et al., arXiv 1512.03385, section 4.2)."""

from __future__ import annotations

from collections.abc import Sequence

from detectron2.config import CfgNode
from detectron2.layers import CNNBlockBase, Conv2d, ShapeSpec, get_norm
from detectron2.modeling import BACKBONE_REGISTRY
from detectron2.modeling.backbone.resnet import BasicBlock, ResNet
from torch import Tensor
from torch.nn.functional import relu

from ...compat import register_if_free


class SmallStem(CNNBlockBase):
    """One 3x3 convolution that keeps the resolution.

    Args:
        in_channels: of the picture.
        out_channels: of the convolution.
        norm: as for detectron2's ``get_norm``.
    """

    def __init__(self, in_channels: int, out_channels: int, norm: str) -> None:
        super().__init__(in_channels, out_channels, 1)
        self.conv1 = Conv2d(
            in_channels,
            out_channels,
            kernel_size=3,
            padding=1,
            bias=False,
            norm=get_norm(norm, out_channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, out_channels, H, W)."""
        return relu(self.conv1(x))


def small_resnet(
    in_channels: int = 3,
    channels: Sequence[int] = (16, 32, 64),
    blocks: int = 1,
    norm: str = "BN",
) -> ResNet:
    """Return detectron2's ResNet of basic blocks whose first stage has the picture's resolution.

    Args:
        in_channels: of the picture.
        channels: of the stages "res2" (stride 1), "res3" (2), "res4" (4), "res5" (8).
        blocks: in each stage.
        norm: as for detectron2's ``get_norm``.

    Raises:
        ValueError: no stage or more than four, or no block.
    """
    if not 1 <= len(channels) <= 4 or min(channels) < 1:
        raise ValueError(
            f"MODEL.SMALL_RESNET.CHANNELS is {list(channels)}; write one to four positive numbers"
        )
    if blocks < 1:
        raise ValueError(f"MODEL.SMALL_RESNET.BLOCKS is {blocks}; write at least 1")
    before = [channels[0], *channels[:-1]]
    stages = [
        ResNet.make_stage(
            BasicBlock,
            blocks,
            stride_per_block=[1 if i == 0 else 2, *[1] * (blocks - 1)],
            in_channels=before[i],
            out_channels=channels[i],
            norm=norm,
        )
        for i in range(len(channels))
    ]
    names = [f"res{i + 2}" for i in range(len(channels))]
    return ResNet(SmallStem(in_channels, channels[0], norm), stages, out_features=names)


@register_if_free(BACKBONE_REGISTRY)
def build_small_resnet_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> ResNet:
    """Small ResNet from ``MODEL.SMALL_RESNET``."""
    node = cfg.MODEL.SMALL_RESNET
    return small_resnet(input_shape.channels, node.CHANNELS, node.BLOCKS, node.NORM)
