"""Small modules; they import drfpn_da.functional only."""

from .crb import ChannelRefinementBlock
from .ppm import PyramidPooling
from .srb import SpatialRefinementBlock, add_upsampled

__all__ = ["ChannelRefinementBlock", "PyramidPooling", "SpatialRefinementBlock", "add_upsampled"]
