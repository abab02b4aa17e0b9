"""Random changes of a picture's colours and sharpness on the model's device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as F

COLOR_RULES = ("relative", "published")
GATES = ("picture", "batch")


@dataclass
class PhotometricDraw:
    """What was drawn for N pictures.

    Attributes:
        jittered: (N,) bool.
        factors: (N, 4): of brightness, contrast and saturation, and the shift of hue.
        blurred: (N,) bool.
        sigma: (N,) standard deviation of the blur in pixels.
        order: in which the four changes follow each other, the same for all pictures.
    """

    jittered: Tensor
    factors: Tensor
    blurred: Tensor
    sigma: Tensor
    order: list[int]


class PhotometricAugmentation:
    """Colour jitter and Gaussian blur (arXiv 2012.10782, section 3.3).

    Args:
        color_jitter: largest relative change of brightness, contrast and saturation, and of hue as
            a share of the circle.
        color_jitter_prob: probability of the jitter.
        blur_sigma: range of the blur's standard deviation, in pixels.
        blur_prob: probability of the blur.
        color_rule: "relative": torchvision's changes, in fixed order; "published": those of the
            published code, see :func:`change_as_published`, in an order drawn for the batch.
        gate: whether jitter and blur take place, and how strong the blur is, is drawn for each
            "picture" or once for the "batch" (published). Factors are drawn for each picture.
        image_format: order of channels, "RGB" or "BGR".

    Raises:
        ValueError: another rule, gate or format.
    """

    def __init__(
        self,
        color_jitter: Sequence[float] = (0.25, 0.25, 0.25, 0.25),
        color_jitter_prob: float = 0.8,
        blur_sigma: Sequence[float] = (0.15, 1.15),
        blur_prob: float = 0.5,
        color_rule: str = "relative",
        gate: str = "picture",
        image_format: str = "BGR",
    ) -> None:
        for key, value, known in (("COLOR_RULE", color_rule, COLOR_RULES), ("GATE", gate, GATES)):
            if value not in known:
                raise ValueError(
                    f"MODEL.DEPTH_MIX.STRONG.{key} is '{value}'; write one of {list(known)}"
                )
        if image_format not in ("RGB", "BGR"):
            raise ValueError(
                f"colours cannot be changed with INPUT.FORMAT '{image_format}'; write RGB or BGR"
            )
        self._bgr = image_format == "BGR"
        self._ranges = torch.tensor([float(value) for value in color_jitter])
        self._jitter_prob, self._blur_prob = color_jitter_prob, blur_prob
        self._sigma = tuple(float(value) for value in blur_sigma)
        self._published, self._by_batch = color_rule == "published", gate == "batch"

    def draw(self, count: int, generator: torch.Generator) -> PhotometricDraw:
        """Draw the changes of ``count`` pictures with a generator of the CPU."""
        change = 2 * torch.rand(count, 4, generator=generator) - 1
        low, high = self._sigma

        def gate() -> Tensor:
            return torch.rand(1 if self._by_batch else count, generator=generator).expand(count)

        drawn = PhotometricDraw(
            jittered=gate() < self._jitter_prob,
            factors=change * self._ranges + torch.tensor([1.0, 1.0, 1.0, 0.0]),
            blurred=gate() < self._blur_prob,
            sigma=low + (high - low) * gate(),
            order=[0, 1, 2, 3],
        )
        if self._published:
            drawn.order = torch.randperm(4, generator=generator).tolist()
        return drawn

    def __call__(self, pictures: Sequence[Tensor], generator: torch.Generator) -> list[Tensor]:
        """Return changed pictures (3, H, W) of uint8; sizes may differ."""
        drawn = self.draw(len(pictures), generator)
        return [self._change(picture, drawn, i) for i, picture in enumerate(pictures)]

    def _change(self, picture: Tensor, drawn: PhotometricDraw, i: int) -> Tensor:
        if self._bgr:
            picture = picture.flip(0)
        if drawn.jittered[i]:
            factors = drawn.factors[i].tolist()
            change = change_as_published if self._published else _change_relatively
            picture = change(picture, factors, drawn.order)
        if drawn.blurred[i]:
            picture = blur(picture, float(drawn.sigma[i]))
        return picture.flip(0) if self._bgr else picture


def _change_relatively(picture: Tensor, factors: list[float], order: list[int]) -> Tensor:
    changes = (F.adjust_brightness, F.adjust_contrast, F.adjust_saturation)
    for change, factor in zip(changes, factors):
        picture = change(picture, max(factor, 0.0))
    changed: Tensor = F.adjust_hue(picture, factors[3])
    return changed


def change_as_published(picture: Tensor, factors: Sequence[float], order: Sequence[int]) -> Tensor:
    """Change colours as the published code of arXiv 2012.10782 does.

    In [0, 1], cut off after each change: ``factor - 1`` is added to all values (brightness), they
    are multiplied, not about their mean (contrast), the saturation of HSV is multiplied, its hue
    turned.

    Args:
        picture: (3, H, W) uint8, RGB.
        factors: of brightness, contrast and saturation; share of the circle by which hue turns.
        order: of these four, by index.

    Returns:
        (3, H, W) uint8, rounded once.
    """
    x = picture.float() / 255
    for which in order:
        factor = factors[which]
        if which == 0:
            x = x + (factor - 1)
        elif which == 1:
            x = x * factor
        elif which == 2:
            x = _scale_saturation(x, factor)
        else:
            x = F.adjust_hue(x, factor)
        x = x.clamp(0, 1)
    return (255 * x).round().to(torch.uint8)


def _scale_saturation(x: Tensor, factor: float) -> Tensor:
    # Value and hue of HSV stay: each channel's distance to the largest one is scaled.
    value, least = x.amax(dim=0, keepdim=True), x.amin(dim=0, keepdim=True)
    # The saturation is at most 1, where the smallest channel is 0.
    largest = value / (value - least).clamp(min=1e-8)
    return value - (value - x) * largest.clamp(max=max(factor, 0.0))


def blur(picture: Tensor, sigma: float) -> Tensor:
    """Blur a picture (C, H, W) by a Gaussian of this standard deviation in pixels.

    The kernel ends at three standard deviations, or where reflection can fill no more: a kernel for
    the strongest blur would be as slow for the slightest.
    """
    side = min(max(1, round(3 * sigma)), *(length - 1 for length in picture.shape[-2:]))
    blurred: Tensor = F.gaussian_blur(picture, [2 * side + 1] * 2, [sigma, sigma])
    return blurred
