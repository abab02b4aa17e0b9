"""Domain discriminators of Strong-Weak Distribution Alignment (arXiv 1812.04798, section 3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Optional

import torch
import torch.nn.functional as F
from detectron2.config import CfgNode, configurable
from detectron2.utils.registry import Registry
from torch import Tensor, nn

from ..functional import focal_domain_loss, least_squares_domain_loss, masked_mean
from ..node_arguments import arguments
from .masked import apply_norm, blank, dropout, halve_mask
from .norm import build_norm

DOMAIN_DISCRIMINATOR_REGISTRY = Registry("DOMAIN_DISCRIMINATOR")
DOMAIN_DISCRIMINATOR_REGISTRY.__doc__ = """
Modules that tell source from target features, subclasses of :class:`DomainDiscriminator`.

Called with a config node (``MODEL.STRONG_WEAK.LOCAL`` or ``.GLOBAL``) and the number of channels.
"""


class DomainDiscriminator(nn.Module):
    """What an alignment objective asks of a discriminator.

    Attributes:
        kind: word in the names of losses and scalars.
        in_channels: channels of the features.
        context_channels: length of the context vector.
        generator: random generator of the dropout; None: the global one.
    """

    kind = "domain"

    def __init__(self, in_channels: int, context_channels: int) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.context_channels = context_channels
        self.generator: Optional[torch.Generator] = None

    def body(self, x: Tensor, mask: Optional[Tensor]) -> tuple[Tensor, Optional[Tensor]]:
        """Return the map that is pooled into the context vector, and its mask."""
        raise NotImplementedError

    def forward(self, x: Tensor, mask: Optional[Tensor] = None) -> Tensor:
        """Return domain logits.

        Args:
            x: (N, in_channels, H, W) features.
            mask: (N, 1, H, W) boolean, true on pictures, false on padding; None: no padding.
        """
        raise NotImplementedError

    def domain_loss(self, logits: Tensor, domain: int, mask: Optional[Tensor] = None) -> Tensor:
        """Return the loss of the logits of one domain, a scalar of at least float32."""
        raise NotImplementedError

    def target_probability(self, logits: Tensor, mask: Optional[Tensor] = None) -> Tensor:
        """Return the probabilities of the target domain of all valid cells or pictures, flat."""
        raise NotImplementedError

    def context(self, x: Tensor, mask: Optional[Tensor] = None) -> Tensor:
        """Return the (N, context_channels) average of the last hidden map over each picture."""
        return masked_mean(*self.body(x, mask))


@DOMAIN_DISCRIMINATOR_REGISTRY.register()
class LocalDiscriminator(DomainDiscriminator):
    """1x1 convolutions that judge every cell by itself; least squares.

    Layers (section 3.2, and the published code): in -> 256 -> 128 -> 1, no bias, ReLU between.

    Args:
        in_channels: channels of the features (published: 256).
        channels: widths of the two hidden layers.
        norm: norm of the hidden layers; "" as published.
        init_std: standard deviation of the first weights; 0: PyTorch's default.
        input_relu: ReLU on the input (published for VGG16).
    """

    kind = "local"

    @configurable
    def __init__(
        self,
        in_channels: int,
        *,
        channels: Sequence[int] = (256, 128),
        norm: str = "",
        init_std: float = 0.0,
        input_relu: bool = False,
    ) -> None:
        first, second = _widths("LOCAL", channels, 2)
        super().__init__(in_channels, second)
        self.input_relu = input_relu
        self.conv1 = nn.Conv2d(in_channels, first, 1, bias=False)
        self.bn1 = build_norm(norm, first, "MODEL.STRONG_WEAK.LOCAL.NORM")
        self.conv2 = nn.Conv2d(first, second, 1, bias=False)
        self.bn2 = build_norm(norm, second, "MODEL.STRONG_WEAK.LOCAL.NORM")
        self.conv3 = nn.Conv2d(second, 1, 1, bias=False)
        if init_std > 0:
            for conv in (self.conv1, self.conv2, self.conv3):
                nn.init.normal_(conv.weight, std=init_std)

    @classmethod
    def from_config(cls, cfg: CfgNode, in_channels: int) -> dict[str, Any]:
        """Read the node ``MODEL.STRONG_WEAK.LOCAL``."""
        return {
            "in_channels": in_channels,
            **arguments(cfg, "channels", "norm", "init_std", "input_relu"),
        }

    def body(self, x: Tensor, mask: Optional[Tensor]) -> tuple[Tensor, Optional[Tensor]]:
        """Return the (N, 128, H, W) map of the second layer, and the mask."""
        if self.input_relu:
            x = F.relu(x)
        for conv, norm in ((self.conv1, self.bn1), (self.conv2, self.bn2)):
            x = F.relu(_checked_norm(norm, conv(x), mask, "MODEL.STRONG_WEAK.LOCAL.NORM"))
        return x, mask

    def forward(self, x: Tensor, mask: Optional[Tensor] = None) -> Tensor:
        """Return (N, 1, H, W) logits of the target domain."""
        logits: Tensor = self.conv3(self.body(x, mask)[0])
        return logits

    def domain_loss(self, logits: Tensor, domain: int, mask: Optional[Tensor] = None) -> Tensor:
        """Return half the mean squared error; see :func:`least_squares_domain_loss`."""
        return least_squares_domain_loss(logits, domain, mask)

    def target_probability(self, logits: Tensor, mask: Optional[Tensor] = None) -> Tensor:
        """Return the sigmoid of the logits of valid cells, flat."""
        probability = logits.detach().float().sigmoid()
        return probability.flatten() if mask is None else probability[mask]


@DOMAIN_DISCRIMINATOR_REGISTRY.register()
class GlobalDiscriminator(DomainDiscriminator):
    """Strided convolutions and a linear layer that judge a whole picture; focal loss.

    Layers (section 3.1, and the published code): three 3x3 convolutions with stride 2, no bias,
    in -> 512 -> 128 -> 128, each with norm, ReLU and dropout; global average; linear to 2.

    Args:
        in_channels: channels of the features (published: 512 for VGG16, 1024 for ResNet).
        channels: widths of the three convolutions.
        norm: "GN", "" or, as published for one picture of each domain a step, "BN". Batch norm
            fails where a map has shrunk to one cell and one picture; with several pictures of one
            domain it removes what they have in common.
        dropout: probability, in [0, 1).
        gamma: exponent of the focal loss.
        exponential: exponential focal loss.
    """

    kind = "global"

    @configurable
    def __init__(
        self,
        in_channels: int,
        *,
        channels: Sequence[int] = (512, 128, 128),
        norm: str = "GN",
        dropout: float = 0.5,
        gamma: float = 5.0,
        exponential: bool = False,
    ) -> None:
        first, second, third = _widths("GLOBAL", channels, 3)
        super().__init__(in_channels, third)
        if not 0 <= dropout < 1 or gamma < 0:
            raise ValueError(
                f"GlobalDiscriminator: dropout {dropout} must be in [0, 1) and gamma {gamma} not "
                "negative (MODEL.STRONG_WEAK.GLOBAL.DROPOUT, GAMMA)"
            )
        self.dropout, self.gamma, self.exponential = dropout, gamma, exponential
        where = "MODEL.STRONG_WEAK.GLOBAL.NORM"
        self.conv1 = nn.Conv2d(in_channels, first, 3, stride=2, padding=1, bias=False)
        self.bn1 = build_norm(norm, first, where)
        self.conv2 = nn.Conv2d(first, second, 3, stride=2, padding=1, bias=False)
        self.bn2 = build_norm(norm, second, where)
        self.conv3 = nn.Conv2d(second, third, 3, stride=2, padding=1, bias=False)
        self.bn3 = build_norm(norm, third, where)
        self.fc = nn.Linear(third, 2)

    @classmethod
    def from_config(cls, cfg: CfgNode, in_channels: int) -> dict[str, Any]:
        """Read the node ``MODEL.STRONG_WEAK.GLOBAL``."""
        return {
            "in_channels": in_channels,
            **arguments(cfg, "channels", "norm", "dropout", "gamma", "exponential"),
        }

    def body(self, x: Tensor, mask: Optional[Tensor]) -> tuple[Tensor, Optional[Tensor]]:
        """Return the (N, 128, H/8, W/8) map of the last convolution, and its mask."""
        for conv, norm in (
            (self.conv1, self.bn1),
            (self.conv2, self.bn2),
            (self.conv3, self.bn3),
        ):
            x, mask = conv(blank(x, mask)), halve_mask(mask)
            x = F.relu(_checked_norm(norm, x, mask, "MODEL.STRONG_WEAK.GLOBAL.NORM"))
            if self.training and self.dropout > 0:
                x = dropout(x, self.dropout, self.generator)
        return x, mask

    def forward(self, x: Tensor, mask: Optional[Tensor] = None) -> Tensor:
        """Return (N, 2) logits, source first."""
        logits: Tensor = self.fc(self.context(x, mask))
        return logits

    def domain_loss(self, logits: Tensor, domain: int, mask: Optional[Tensor] = None) -> Tensor:
        """Return half the mean focal loss; see :func:`focal_domain_loss`."""
        return focal_domain_loss(logits, domain, self.gamma, self.exponential)

    def target_probability(self, logits: Tensor, mask: Optional[Tensor] = None) -> Tensor:
        """Return the softmax probability of the target domain of each picture, (N,)."""
        return logits.detach().float().softmax(dim=1)[:, 1]


def _widths(part: str, channels: Sequence[int], count: int) -> list[int]:
    if len(channels) != count or min(channels) < 1:
        raise ValueError(
            f"MODEL.STRONG_WEAK.{part}.CHANNELS {list(channels)} must be {count} positive widths"
        )
    return list(channels)


def _checked_norm(norm: Optional[nn.Module], x: Tensor, mask: Optional[Tensor], key: str) -> Tensor:
    """Apply a norm, if any; say what to do where it would see a single value."""
    if norm is None:
        return x
    if isinstance(norm, nn.GroupNorm):
        if x.shape[1] // norm.num_groups * x.shape[2] * x.shape[3] == 1:
            raise ValueError(
                "group norm of a domain discriminator sees a single value per group: the features "
                f"are too small for {x.shape[1]} channels in {norm.num_groups} groups; write "
                f'{key} "" or use wider CHANNELS or larger pictures'
            )
    elif isinstance(norm, nn.modules.batchnorm._BatchNorm) and norm.training:
        cells = x.shape[0] * x.shape[2] * x.shape[3] if mask is None else int(mask.sum())
        if cells == 1:
            raise ValueError(
                "batch norm of a domain discriminator sees a single value per channel: the "
                f"features are too small for one picture per domain; write {key} GN, use larger "
                "pictures or more pictures per process"
            )
    return apply_norm(norm, x, mask)
