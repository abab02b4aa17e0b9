"""Small modules; they import drfpn_da.functional only."""

from .attention_exchange import AttentionExchange
from .crb import ChannelRefinementBlock
from .discriminators import (
    DOMAIN_DISCRIMINATOR_REGISTRY,
    DomainDiscriminator,
    GlobalDiscriminator,
    LocalDiscriminator,
)
from .offset_conv import OffsetConv2d
from .ppm import PyramidPooling
from .srb import SpatialRefinementBlock

__all__ = [
    "AttentionExchange",
    "DOMAIN_DISCRIMINATOR_REGISTRY",
    "DomainDiscriminator",
    "GlobalDiscriminator",
    "LocalDiscriminator",
    "ChannelRefinementBlock",
    "OffsetConv2d",
    "PyramidPooling",
    "SpatialRefinementBlock",
]
