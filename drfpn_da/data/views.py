"""Views of a picture: the same geometry, other colours, sharpness and occlusion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Callable

import torch
from detectron2.config import CfgNode, configurable
from detectron2.utils.registry import Registry
from torch import Tensor
from torchvision.transforms import v2

from ..layers.photometric import blur
from ..node_arguments import arguments
from .checked_mapper import Mapper

#: From a picture (C, H, W), uint8, to another of that shape and type, without moving anything in
#: it. Random numbers come from torch's global generator, which the loader seeds for each sample.
View = Callable[[Tensor], Tensor]

VIEW_REGISTRY = Registry("VIEW")
VIEW_REGISTRY.__doc__ = """
Views by name, for INPUT.TARGET_VIEWS and INPUT.SOURCE_VIEW.

A registered function is called with the config and returns a ``View``.
"""


@VIEW_REGISTRY.register()
def weak(cfg: CfgNode) -> View:
    """The picture as the config's resizing, flip and crop left it."""
    return _unchanged


@VIEW_REGISTRY.register()
def strong(cfg: CfgNode) -> View:
    """``StrongView`` with the keys of INPUT.STRONG_VIEW."""
    return StrongView(cfg)


def _unchanged(picture: Tensor) -> Tensor:
    return picture


class StrongView:
    """Colour jitter, greyscale, blur and random erasing, after Unbiased Teacher (2102.09480).

    Args:
        color_jitter: largest relative change of brightness, contrast and saturation, and of hue as
            a share of the circle (at most 0.5).
        color_jitter_prob: probability of the colour jitter.
        grayscale_prob: probability of grey.
        blur_sigma: range of the Gaussian's standard deviation, in pixels.
        blur_prob: probability of the blur.
        erase: rectangles filled with noise (1708.04896), one after another, each as (probability,
            smallest and largest share of the picture's area, smallest and largest height / width).
        mask_share: probability of each cell of a grid to be masked, for masked image consistency
            (MIC, 2212.01322, equation 4; published 0.7). 0: no mask.
        mask_size: side of the cells in pixels (published 64, for crops of 512 to 1024).
        fill: value of masked pixels by channel, 0 to 255; the mean that the model subtracts.
        image_format: order of the channels: "RGB", "BGR" or "L".

    Raises:
        ValueError: another format; a rectangle that is not five numbers; an impossible mask or
            blur.
    """

    @configurable
    def __init__(
        self,
        *,
        color_jitter: Sequence[float] = (0.4, 0.4, 0.4, 0.1),
        color_jitter_prob: float = 0.8,
        grayscale_prob: float = 0.2,
        blur_sigma: Sequence[float] = (0.1, 2.0),
        blur_prob: float = 0.5,
        erase: Sequence[Sequence[float]] = (
            (0.7, 0.05, 0.2, 0.3, 3.3),
            (0.5, 0.02, 0.2, 0.1, 6.0),
            (0.3, 0.02, 0.2, 0.05, 8.0),
        ),
        mask_share: float = 0.0,
        mask_size: int = 64,
        fill: Sequence[float] = (0.0,),
        image_format: str = "BGR",
    ) -> None:
        if image_format not in ("RGB", "BGR", "L"):
            raise ValueError(
                f"the strong view cannot handle INPUT.FORMAT '{image_format}'; write RGB, BGR or L"
            )
        if any(len(rectangle) != 5 for rectangle in erase):
            raise ValueError(
                f"INPUT.STRONG_VIEW.ERASE is {list(map(list, erase))}; each entry is [probability, "
                "smallest area, largest area, smallest ratio, largest ratio]"
            )
        if not 0 <= mask_share <= 1 or mask_size < 1:
            raise ValueError(
                f"INPUT.STRONG_VIEW.MASK has SHARE {mask_share} and SIZE {mask_size}; write a "
                "share in [0, 1] and a size from 1 on"
            )
        if not 0 < blur_sigma[0] <= blur_sigma[1]:
            raise ValueError(
                f"INPUT.STRONG_VIEW.BLUR_SIGMA is {list(blur_sigma)}; write [smallest, largest] in "
                "pixels, above 0; BLUR_PROB 0.0 turns the blur off"
            )
        self._mask_share, self._mask_size = mask_share, mask_size
        self._fill = torch.tensor(fill).round().to(torch.uint8)[:, None, None]
        self._bgr = image_format == "BGR"
        self._blur_sigma = tuple(blur_sigma)
        self._photometric = v2.Compose(
            [
                v2.RandomApply([v2.ColorJitter(*color_jitter)], p=color_jitter_prob),
                v2.RandomGrayscale(p=grayscale_prob),
                v2.RandomApply([v2.Lambda(self._blur)], p=blur_prob),
            ]
        )
        self._erase = [
            v2.RandomErasing(p, (low, high), (narrow, wide), value="random")
            for p, low, high, narrow, wide in erase
        ]

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Read ``INPUT.STRONG_VIEW`` and ``INPUT.FORMAT``."""
        return {
            **arguments(cfg.INPUT.STRONG_VIEW),
            "fill": cfg.MODEL.PIXEL_MEAN,
            "image_format": cfg.INPUT.FORMAT,
        }

    def __call__(self, picture: Tensor) -> Tensor:
        """Return the view of a uint8 picture (C, H, W)."""
        if self._bgr:
            picture = picture.flip(0)
        # In floating point, where nothing is rounded in between and erased pixels are noise of mean
        # 0 and deviation 1, clipped.
        values = self._photometric(v2.functional.to_dtype(picture, torch.float32, scale=True))
        for erase in self._erase:
            values = erase(values)
        picture = v2.functional.to_dtype(values.clamp(0, 1), torch.uint8, scale=True)
        picture = picture.flip(0) if self._bgr else picture
        if self._mask_share:
            grid = [-(-side // self._mask_size) for side in picture.shape[1:]]
            cells = torch.rand(grid) < self._mask_share
            for axis in (0, 1):
                cells = cells.repeat_interleave(self._mask_size, axis)
            cells = cells[: picture.shape[1], : picture.shape[2]]
            picture = torch.where(cells, self._fill, picture)
        return picture

    def _blur(self, values: Tensor) -> Tensor:
        return blur(values, float(torch.empty(1).uniform_(*self._blur_sigma)))


def build_views(cfg: CfgNode, names: Sequence[str], key: str) -> dict[str, View]:
    """Build views by their names in ``VIEW_REGISTRY``.

    Args:
        cfg: given to each view.
        names: at least one, without repetition.
        key: config key of the names, for messages.

    Raises:
        ValueError: no name, or one twice.
        KeyError: an unknown name; the message lists those that are registered.
    """
    if not names or len(set(names)) < len(names):
        raise ValueError(f"{key} is {list(names)}; write at least one view, and each only once")
    known = sorted(name for name, _ in VIEW_REGISTRY)
    unknown = [name for name in names if name not in known]
    if unknown:
        raise KeyError(f"{key} has {unknown}; registered views are: {', '.join(known)}")
    return {name: VIEW_REGISTRY.get(name)(cfg) for name in names}


class ViewMapper:
    """Runs a mapper, which draws the geometry once, and makes views of the picture it returns.

    Args:
        mapper: its samples have ``image``, uint8 (C, H, W).
        views: by name, at least one.
    """

    def __init__(self, mapper: Mapper, views: Mapping[str, View]) -> None:
        self._mapper = mapper
        self._views = dict(views)
        # Whoever looks into a mapper for its augmentations finds those of the one inside.
        self.augmentations = getattr(mapper, "augmentations", ())

    def __call__(self, record: dict[str, Any]) -> dict[str, Any] | None:
        """Return the sample with the first view as ``image``; all in ``views`` if several."""
        sample: dict[str, Any] | None = self._mapper(record)
        if sample is None:
            return None
        views = {name: view(sample["image"]) for name, view in self._views.items()}
        sample["image"] = next(iter(views.values()))
        if len(views) > 1:
            sample["views"] = views
        return sample
