"""Semantic segmentation of large pictures window by window."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Callable

import torch
from detectron2.modeling.postprocessing import sem_seg_postprocess
from torch import Tensor, nn

Inputs = list[dict[str, Any]]


class SlidingWindow(nn.Module):
    """Evaluates a segmentor on windows of each picture and averages its logits where they overlap.

    A network trained on crops then sees pictures at the size and scale of its training. A window
    that is as large as the picture gives what the segmentor gives by itself. For evaluation.

    Args:
        model: any detectron2 model whose outputs have "sem_seg", or a function like its forward.
        size: (height, width) of windows in pixels of the picture as it enters the model; a picture
            that is smaller is one window.
        overlap: least share of a window that the next one covers again, in [0, 1).

    Raises:
        ValueError: a size below 1, or an overlap out of range.
    """

    def __init__(
        self,
        model: nn.Module | Callable[[Inputs], Inputs],
        size: Sequence[int],
        overlap: float = 1 / 3,
    ) -> None:
        super().__init__()
        if len(size) != 2 or min(size) < 1:
            raise ValueError(
                f"TEST.SLIDING_WINDOW.SIZE is {list(size)}; write [height, width] in pixels, or [] "
                "for whole pictures"
            )
        if not 0 <= overlap < 1:
            raise ValueError(f"TEST.SLIDING_WINDOW.OVERLAP is {overlap}; it must be in [0, 1)")
        # Named as in DistributedDataParallel: whoever unwraps that finds the model here too.
        self.module = model
        self.size, self.overlap = (int(size[0]), int(size[1])), overlap
        # Evaluation puts a model back into the mode in which it was.
        self.training = bool(getattr(model, "training", False))

    def around(self, predict: Callable[[Inputs], Inputs]) -> SlidingWindow:
        """Return another with the same windows, around another model or function."""
        return SlidingWindow(predict, self.size, self.overlap)

    def forward(self, batched_inputs: Inputs) -> Inputs:
        """Return ``[{"sem_seg": (C, H, W)}, ...]``, of the size that each record asks for.

        Raises:
            ValueError: the model's outputs have no "sem_seg".
        """
        return [{"sem_seg": self._one(x)} for x in batched_inputs]

    def _one(self, x: dict[str, Any]) -> Tensor:
        height, width = x["image"].shape[-2:]
        rows = window_starts(height, self.size[0], self.overlap)
        columns = window_starts(width, self.size[1], self.overlap)
        total = count = torch.zeros(())
        for top in rows:
            for left in columns:
                place = (..., slice(top, top + self.size[0]), slice(left, left + self.size[1]))
                logits = self._window(x, x["image"][place])
                if not total.dim():
                    total = logits.new_zeros(len(logits), height, width)
                    count = logits.new_zeros(height, width)
                total[place] += logits
                count[place] += 1
        out = (x.get("height", height), x.get("width", width))
        resized: Tensor = sem_seg_postprocess(total / count, (height, width), *out)
        return resized

    def _window(self, x: dict[str, Any], image: Tensor) -> Tensor:
        window = {**x, "image": image, "height": image.shape[-2], "width": image.shape[-1]}
        # It belongs to the whole picture; segmentors would only pad it.
        window.pop("sem_seg", None)
        output = self.module([window])[0]
        if "sem_seg" not in output:
            raise ValueError(
                "TEST.SLIDING_WINDOW.SIZE is for semantic segmentors, but the model returns "
                f"{sorted(output)}: write [] for whole pictures"
            )
        logits: Tensor = output["sem_seg"]
        return logits


def window_starts(length: int, window: int, overlap: float) -> list[int]:
    """Return where windows begin, so that they cover ``length`` at even distances.

    Args:
        length: of the picture.
        window: length of the windows.
        overlap: least share of a window that its next covers again.

    Returns:
        From 0 to ``length - window``, as few as possible; [0] where one window is enough.
    """
    last = length - window
    if last <= 0:
        return [0]
    stride = max(1, int(window * (1 - overlap)))
    steps = -(-last // stride)
    return [round(i * last / steps) for i in range(steps + 1)]
