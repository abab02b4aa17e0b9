"""Losses of depth learnt from video (monodepth2, arXiv 1806.01260, section 3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

import torch
import torch.nn.functional as F
from torch import Tensor

# Stabilisers of SSIM (Wang et al. 2004) for images in [0, 1].
C1, C2 = 0.01**2, 0.03**2
# Standard deviation of the noise that decides ties between identity and warped images.
TIE_NOISE = 1e-5


def ssim_distance(x: Tensor, y: Tensor) -> Tensor:
    """Structural dissimilarity ``clamp((1 - SSIM) / 2, 0, 1)`` over 3x3 windows.

    Args:
        x: (N, C, H, W) in [0, 1], at least 2x2 pixels.
        y: of the same shape.

    Returns:
        (N, C, H, W); 0 where the windows are equal.
    """
    x, y = F.pad(x, (1, 1, 1, 1), mode="reflect"), F.pad(y, (1, 1, 1, 1), mode="reflect")
    mean_x, mean_y, of_xx, of_yy, of_xy = _window_means([x, y, x**2, y**2, x * y])
    var_x = of_xx - mean_x**2
    var_y = of_yy - mean_y**2
    covariance = of_xy - mean_x * mean_y
    above = (2 * mean_x * mean_y + C1) * (2 * covariance + C2)
    below = (mean_x**2 + mean_y**2 + C1) * (var_x + var_y + C2)
    return ((1 - above / below) / 2).clamp(0, 1)


def _window_means(maps: list[Tensor]) -> list[Tensor]:
    if maps[0].is_cuda:  # at once: short launches take their time there, not the sums
        return list(F.avg_pool2d(torch.stack(maps).flatten(0, 1), 3, 1).chunk(len(maps)))
    return [_window_mean(x) for x in maps]


def _window_mean(x: Tensor) -> Tensor:
    # Rows, then columns: on a CPU several times faster than pooling.
    rows = x[..., :-2, :] + x[..., 1:-1, :] + x[..., 2:, :]
    return (rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:]) / 9


def photometric_error(prediction: Tensor, target: Tensor, ssim_weight: float = 0.85) -> Tensor:
    """Weighted sum of structural dissimilarity and absolute difference, averaged over channels.

    Args:
        prediction: (N, C, H, W) in [0, 1].
        target: of the same shape.
        ssim_weight: share of the structural term.

    Returns:
        (N, 1, H, W).
    """
    absolute = (prediction - target).abs().mean(1, keepdim=True)
    structural = ssim_distance(prediction, target).mean(1, keepdim=True)
    return ssim_weight * structural + (1 - ssim_weight) * absolute


def minimum_reprojection(
    warped: Sequence[Tensor],
    identity: Sequence[Tensor] = (),
    generator: Optional[torch.Generator] = None,
) -> tuple[Tensor, Tensor]:
    """Take the smallest error over the neighbouring views, pixel by pixel.

    With ``identity`` the pixels that do not move between the images are masked out: there an
    unwarped neighbour fits best, whose error has no gradient (auto-masking).

    Args:
        warped: (N, 1, H, W) error of each warped neighbour.
        identity: (N, 1, H, W) error of each neighbour as it is; empty: no auto-masking.
        generator: draws the noise that decides ties; None: ties go to the identity. Noise is drawn
            on the generator's device.

    Returns:
        The (N, 1, H, W) smallest errors, and where a warped one was smallest, bool.
    """
    best = torch.cat(list(warped), 1).amin(1, keepdim=True)
    if not identity:
        return best, torch.ones_like(best, dtype=torch.bool)
    still = torch.cat(list(identity), 1)
    if generator is not None:
        device = generator.device
        noise = torch.randn(still.shape, generator=generator, device=device, dtype=still.dtype)
        still = still + TIE_NOISE * noise.to(still.device)
    still = still.amin(1, keepdim=True)
    moving = best < still
    return torch.where(moving, best, still), moving


def normalize_by_mean(disparity: Tensor) -> Tensor:
    """Divide (N, 1, H, W) disparity by its mean per image, so that shrinking does not pay."""
    return disparity / (disparity.mean((2, 3), keepdim=True) + 1e-7)


def edge_aware_smoothness(disparity: Tensor, image: Tensor) -> Tensor:
    """Mean absolute gradients of the disparity, less where the image has edges itself.

    ``mean(|dx d| exp(-|dx I|)) + mean(|dy d| exp(-|dy I|))``, image gradients averaged over
    channels. Give it :func:`normalize_by_mean` of the disparity.

    Args:
        disparity: (N, 1, H, W).
        image: (N, C, H, W) in [0, 1].
    """
    total = disparity.new_zeros(())
    for axis in (2, 3):
        of_disparity = disparity.diff(dim=axis).abs()
        of_image = image.diff(dim=axis).abs().mean(1, keepdim=True)
        total = total + (of_disparity * torch.exp(-of_image)).mean()
    return total


def feature_distance(features: Tensor, reference: Tensor) -> Tensor:
    """Euclidean distance of two feature tensors as a whole (arXiv 2012.10782, section 3.1).

    It grows with the square root of the number of elements, batch included, as published: a weight
    belongs to one batch and picture size.

    Args:
        features: any shape.
        reference: same shape; not differentiated.
    """
    distance: Tensor = torch.linalg.vector_norm(features - reference.detach())
    return distance
