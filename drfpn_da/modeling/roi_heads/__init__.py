"""ROI heads of SCN."""

from .importance_predictor import Predictions, SCNFastRCNNOutputLayers
from .scn_heads import (
    CorrectsLabels,
    SCNCascadeROIHeads,
    SCNRes5ROIHeads,
    SCNROIHeads,
    find_scn_heads,
)

__all__ = [
    "CorrectsLabels",
    "Predictions",
    "SCNCascadeROIHeads",
    "SCNFastRCNNOutputLayers",
    "SCNROIHeads",
    "SCNRes5ROIHeads",
    "find_scn_heads",
]
