"""Coarse feature maps of pictures, from anywhere in a model."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Optional

import torch
import torch.nn.functional as F
from detectron2.evaluation import inference_context
from torch import Tensor, nn

from ..modeling.meta_arch.domains import picture_sizes, preprocess
from .step import detector_of


def pool_grid_features(
    model: nn.Module,
    loader: Iterable[list[dict[str, Any]]],
    name: str,
    grid: tuple[int, int] = (4, 8),
) -> Tensor:
    """Average one feature of each picture to a grid, in evaluation mode.

    Args:
        model: a detector, segmentor or depth network.
        loader: batches of one test input.
        name: an output of the backbone (``res4``), or the path of a module that returns one
            (1, C, H, W) map (``decoder.after.8``); the module runs once for each picture.
        grid: rows and columns.

    Returns:
        (pictures, C, rows, columns) float32 on the CPU.

    Raises:
        KeyError: no such feature; the message lists outputs of the backbone and modules.
        ValueError: the module does not return one map.
    """
    network: Any = detector_of(model)
    module, key = _find(network, name)
    found: list[Any] = []
    handle = module.register_forward_hook(lambda _m, _i, output: found.append(output))
    pooled = []
    try:
        with inference_context(network), torch.no_grad():
            for inputs in loader:
                found.clear()
                images = preprocess(network, inputs).tensor
                if module is network.backbone:
                    module(images)
                else:
                    network(inputs)
                output = found[0][key] if found and key is not None else (found or [None])[0]
                if not isinstance(output, Tensor) or output.dim() != 4 or len(output) != 1:
                    raise ValueError(
                        f"feature '{name}' of {type(network).__name__} is not one (1, C, H, W) map "
                        "per picture; choose a module that returns one"
                    )
                height, width = picture_sizes(inputs)[0]
                rows = math.ceil(output.shape[-2] * height / images.shape[-2])
                columns = math.ceil(output.shape[-1] * width / images.shape[-1])
                valid = output[..., :rows, :columns].float()
                pooled.append(F.adaptive_avg_pool2d(valid, grid).cpu())
    finally:
        handle.remove()
    return torch.cat(pooled)


def _find(network: Any, name: str) -> tuple[nn.Module, Optional[str]]:
    outputs = list(network.backbone.output_shape())
    if name in outputs:
        return network.backbone, name
    modules = dict(network.named_modules())
    if name and name in modules:
        return modules[name], None
    raise KeyError(
        f"unknown feature '{name}'; {type(network).__name__} has the outputs {', '.join(outputs)} "
        f"of its backbone, and modules such as {', '.join(list(modules)[-8:])}"
    )
