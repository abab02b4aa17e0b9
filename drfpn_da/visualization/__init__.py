"""Pictures: predictions, ground truth, sheets and curves."""

from .curves import curve, plot_curves, read_metrics
from .draw import draw_predictions, draw_truth, read_rgb
from .layout import contact_sheet, side_by_side

__all__ = [
    "contact_sheet",
    "curve",
    "draw_predictions",
    "draw_truth",
    "plot_curves",
    "read_metrics",
    "read_rgb",
    "side_by_side",
]
