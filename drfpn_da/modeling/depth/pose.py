"""A network that estimates the camera's motion between two frames."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from detectron2.config import CfgNode, configurable
from torch import Tensor, nn
from torchvision.models import resnet18

from ...node_arguments import arguments

# Makes the first predictions small motions; the published value.
SCALE = 0.01


class PoseNetwork(nn.Module):
    """Two frames in, rotation and translation out (arXiv 1704.07813; monodepth2, 1806.01260).

    Args:
        body: "conv", a few strided convolutions with a few hundred thousand parameters; "resnet18"
            with BatchNorm, whose weights are named ``body.<torchvision's name>``; or
            "resnet18_decoder", the same with a decoder of four convolutions (published).
        channels: of the strided convolutions of "conv".

    Raises:
        ValueError: another body.
    """

    @configurable
    def __init__(
        self, body: str = "conv", channels: Sequence[int] = (16, 32, 64, 128, 128)
    ) -> None:
        super().__init__()
        self.body: nn.Module
        if body == "conv":
            self.body, width = _strided(channels), channels[-1]
        elif body in ("resnet18", "resnet18_decoder"):
            self.body, width = _resnet18(), 512
        else:
            raise ValueError(
                f"MODEL.DEPTH.POSE.BODY is '{body}'; write 'conv', 'resnet18' or 'resnet18_decoder'"
            )
        self.predictor: nn.Module = (
            _pose_decoder(width) if body == "resnet18_decoder" else nn.Conv2d(width, 6, 1)
        )

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict:
        """Read ``MODEL.DEPTH.POSE``."""
        return arguments(cfg.MODEL.DEPTH.POSE)

    def forward(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """Estimate the motion from the first frame to the second.

        Args:
            first: (N, 3, H, W) normalised frame, the earlier one.
            second: (N, 3, H, W).

        Returns:
            (N, 3) rotation vector in rad and (N, 3) translation in the unit of depth, float32: the
            transform of coordinates from the first camera to the second.
        """
        x = self.body(torch.cat([first, second], dim=1))
        pose = SCALE * self.predictor(x).float().mean(dim=(2, 3))
        return pose[:, :3], pose[:, 3:]


def _strided(channels: Sequence[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    width = 6
    for i, outputs in enumerate(channels):
        size = 7 if i == 0 else 5 if i == 1 else 3
        layers += [nn.Conv2d(width, outputs, size, stride=2, padding=size // 2), nn.ReLU()]
        width = outputs
    return nn.Sequential(*layers)


def _pose_decoder(inputs: int, width: int = 256) -> nn.Sequential:
    """1x1, 3x3 and 3x3 with ReLU, then 1x1 to the six numbers (monodepth2)."""
    layers: list[nn.Module] = [nn.Conv2d(inputs, width, 1), nn.ReLU()]
    for _ in range(2):
        layers += [nn.Conv2d(width, width, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*layers, nn.Conv2d(width, 6, 1))


def _resnet18() -> nn.Module:
    network = resnet18(weights=None)
    network.conv1 = nn.Conv2d(6, 64, 7, stride=2, padding=3, bias=False)
    nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")
    layers = list(network.named_children())[:-2]  # without pooling and classifier
    body = nn.Sequential()
    for name, layer in layers:
        body.add_module(name, layer)
    return body
