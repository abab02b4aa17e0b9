"""Small modules; they import drfpn_da.functional only."""

from .crb import ChannelRefinementBlock
from .ppm import PyramidPooling
from .srb import SpatialRefinementBlock

__all__ = ["ChannelRefinementBlock", "PyramidPooling", "SpatialRefinementBlock"]
