"""Depth metrics of the KITTI literature (Eigen et al., arXiv 1406.2283)."""

from __future__ import annotations

from torch import Tensor

#: Names in the order in which they are usually reported.
DEPTH_METRICS = ("AbsRel", "SqRel", "RMSE", "RMSElog", "delta1", "delta2", "delta3")


def median_scale(prediction: Tensor, truth: Tensor) -> Tensor:
    """Return the factor that gives the prediction the truth's median: depth from video has none.

    Args:
        prediction: depths of the valid pixels, any shape, not empty.
        truth: same shape.
    """
    return truth.median() / prediction.median()


def depth_errors(prediction: Tensor, truth: Tensor) -> dict[str, Tensor]:
    """Compare depths pixel by pixel.

    Args:
        prediction: depths of the valid pixels, any shape, above 0.
        truth: same shape, above 0.

    Returns:
        Scalars by the names of :data:`DEPTH_METRICS`: mean of ``|d - t| / t``, mean of
        ``(d - t)**2 / t``, root mean square of ``d - t`` and of ``log d - log t``, and the shares
        of pixels with ``max(d / t, t / d)`` below 1.25, 1.25**2, 1.25**3.

    Raises:
        ValueError: no pixel.
    """
    if truth.numel() == 0:
        raise ValueError("depth_errors needs at least one pixel with a true depth")
    difference = prediction - truth
    ratio = (prediction / truth).maximum(truth / prediction)
    return {
        "AbsRel": (difference.abs() / truth).mean(),
        "SqRel": (difference**2 / truth).mean(),
        "RMSE": (difference**2).mean().sqrt(),
        "RMSElog": ((prediction.log() - truth.log()) ** 2).mean().sqrt(),
        **{f"delta{n}": (ratio < 1.25**n).to(truth.dtype).mean() for n in (1, 2, 3)},
    }
