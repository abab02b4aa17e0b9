"""Random changes of a picture's colours and sharpness on the model's device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as F


@dataclass
class PhotometricDraw:
    """What was drawn for N pictures.

    Attributes:
        jittered: (N,) bool.
        factors: (N, 4): of brightness, contrast and saturation, and the shift of hue.
        blurred: (N,) bool.
        sigma: (N,) standard deviation of the blur in pixels.
    """

    jittered: Tensor
    factors: Tensor
    blurred: Tensor
    sigma: Tensor


class PhotometricAugmentation:
    """Colour jitter and Gaussian blur (arXiv 2012.10782, section 3.3), drawn for each picture.

    Args:
        color_jitter: largest relative change of brightness, contrast and saturation, and of hue as
            a share of the circle.
        color_jitter_prob: probability of the jitter.
        blur_sigma: range of the blur's standard deviation, in pixels.
        blur_prob: probability of the blur.
        image_format: order of channels, "RGB" or "BGR".

    Raises:
        ValueError: another format.
    """

    def __init__(
        self,
        color_jitter: Sequence[float] = (0.25, 0.25, 0.25, 0.25),
        color_jitter_prob: float = 0.8,
        blur_sigma: Sequence[float] = (0.15, 1.15),
        blur_prob: float = 0.5,
        image_format: str = "BGR",
    ) -> None:
        if image_format not in ("RGB", "BGR"):
            raise ValueError(
                f"colours cannot be changed with INPUT.FORMAT '{image_format}'; write RGB or BGR"
            )
        self._bgr = image_format == "BGR"
        self._ranges = torch.tensor([float(value) for value in color_jitter])
        self._jitter_prob, self._blur_prob = color_jitter_prob, blur_prob
        self._sigma = tuple(float(value) for value in blur_sigma)

    def draw(self, count: int, generator: torch.Generator) -> PhotometricDraw:
        """Draw the changes of ``count`` pictures with a generator of the CPU."""
        change = 2 * torch.rand(count, 4, generator=generator) - 1
        low, high = self._sigma
        return PhotometricDraw(
            jittered=torch.rand(count, generator=generator) < self._jitter_prob,
            factors=change * self._ranges + torch.tensor([1.0, 1.0, 1.0, 0.0]),
            blurred=torch.rand(count, generator=generator) < self._blur_prob,
            sigma=low + (high - low) * torch.rand(count, generator=generator),
        )

    def __call__(self, pictures: Sequence[Tensor], generator: torch.Generator) -> list[Tensor]:
        """Return changed pictures (3, H, W) of uint8; sizes may differ."""
        drawn = self.draw(len(pictures), generator)
        return [self._change(picture, drawn, i) for i, picture in enumerate(pictures)]

    def _change(self, picture: Tensor, drawn: PhotometricDraw, i: int) -> Tensor:
        if self._bgr:
            picture = picture.flip(0)
        if drawn.jittered[i]:
            brightness, contrast, saturation, hue = drawn.factors[i].tolist()
            picture = F.adjust_brightness(picture, max(brightness, 0.0))
            picture = F.adjust_contrast(picture, max(contrast, 0.0))
            picture = F.adjust_saturation(picture, max(saturation, 0.0))
            picture = F.adjust_hue(picture, hue)
        if drawn.blurred[i]:
            picture = blur(picture, float(drawn.sigma[i]))
        return picture.flip(0) if self._bgr else picture


def blur(picture: Tensor, sigma: float) -> Tensor:
    """Blur a picture (C, H, W) by a Gaussian of this standard deviation in pixels.

    The kernel ends at three standard deviations, or where reflection can fill no more: a kernel for
    the strongest blur would be as slow for the slightest.
    """
    side = min(max(1, round(3 * sigma)), *(length - 1 for length in picture.shape[-2:]))
    blurred: Tensor = F.gaussian_blur(picture, [2 * side + 1] * 2, [sigma, sigma])
    return blurred
