"""Pictures: predictions, ground truth, sheets and curves."""

from ..files import free_path, save_new, save_text
from .curves import curve, plot_curves, read_metrics
from .depth import color_disparity, draw_disparity
from .domains import DomainPanel, draw_domains
from .draw import draw_predictions, draw_training_input, draw_truth, read_rgb
from .files import save_picture
from .layout import contact_sheet, side_by_side
from .page import Page
from .reliability import plot_reliability

__all__ = [
    "DomainPanel",
    "Page",
    "color_disparity",
    "contact_sheet",
    "curve",
    "draw_disparity",
    "draw_domains",
    "draw_predictions",
    "draw_training_input",
    "draw_truth",
    "free_path",
    "plot_curves",
    "plot_reliability",
    "read_metrics",
    "read_rgb",
    "save_new",
    "save_picture",
    "save_text",
    "side_by_side",
]
