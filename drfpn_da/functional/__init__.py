"""Pure functions on tensors; they import torch only."""

from .adaptation import box_offsets, scale_gradient
from .confidence import CONFIDENCE_RULES, confidence_weights
from .conv import conv3x3_to_few
from .depth_losses import berhu_loss, log_disparity_error
from .depth_metrics import DEPTH_METRICS, depth_errors, median_scale
from .domain import (
    SOURCE,
    TARGET,
    at_least_float32,
    focal_domain_loss,
    least_squares_domain_loss,
    masked_mean,
    valid_cells,
)
from .domain_distance import principal_components, proxy_a_distance
from .farthest_point import (
    LazyDistances,
    farthest_points,
    pairwise_distances,
    standardize_features,
)
from .gradient_reversal import dann_ramp, reverse_gradient
from .importance import (
    mean_by_group,
    rank_regularisation,
    split_by_importance,
)
from .label_quality import expected_calibration_error, reliability_bins, stickiness
from .mix_masks import (
    class_masks,
    cut_masks,
    depth_masks,
    next_in_cycle,
    normalize_disparity,
)
from .mixing import confine_masks, mix_with_next, picture_masks, stack_padded
from .mixup import mixup
from .monodepth import (
    edge_aware_smoothness,
    feature_distance,
    minimum_reprojection,
    normalize_by_mean,
    photometric_error,
    ssim_distance,
)
from .pooling import adaptive_average_matrix, pool_adaptive_average
from .projection import (
    back_project,
    disparity_to_depth,
    pose_matrix,
    project,
    synthesize,
)
from .slenderness import (
    slenderness_from_masks,
    slenderness_from_points,
    slenderness_from_polygons,
)
from .soft_target import pixel_cross_entropy
from .upsample import add_upsampled
from .warp import build_sampling_grid, offset_warp

__all__ = [
    "adaptive_average_matrix",
    "add_upsampled",
    "build_sampling_grid",
    "conv3x3_to_few",
    "offset_warp",
    "pool_adaptive_average",
    "SOURCE",
    "TARGET",
    "at_least_float32",
    "focal_domain_loss",
    "least_squares_domain_loss",
    "masked_mean",
    "valid_cells",
    "dann_ramp",
    "reverse_gradient",
    "principal_components",
    "proxy_a_distance",
    "mean_by_group",
    "rank_regularisation",
    "reliability_bins",
    "split_by_importance",
    "box_offsets",
    "scale_gradient",
    "slenderness_from_masks",
    "slenderness_from_points",
    "slenderness_from_polygons",
    "berhu_loss",
    "log_disparity_error",
    "DEPTH_METRICS",
    "depth_errors",
    "median_scale",
    "LazyDistances",
    "farthest_points",
    "pairwise_distances",
    "stack_padded",
    "standardize_features",
    "CONFIDENCE_RULES",
    "confidence_weights",
    "class_masks",
    "cut_masks",
    "depth_masks",
    "next_in_cycle",
    "normalize_disparity",
    "confine_masks",
    "mix_with_next",
    "mixup",
    "expected_calibration_error",
    "stickiness",
    "picture_masks",
    "pixel_cross_entropy",
    "edge_aware_smoothness",
    "feature_distance",
    "minimum_reprojection",
    "normalize_by_mean",
    "photometric_error",
    "ssim_distance",
    "back_project",
    "disparity_to_depth",
    "pose_matrix",
    "project",
    "synthesize",
]
