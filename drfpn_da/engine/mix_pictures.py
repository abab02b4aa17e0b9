"""Draws the mixed images of DepthMix once a period."""

from __future__ import annotations

from pathlib import Path

import torch
from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog
from detectron2.engine import HookBase
from torch import nn

from ..visualization import save_picture
from ..visualization.mixes import draw_mixes
from .step import unwrap


class MixPictures(HookBase):
    """Draws the mixes of a step every VIS_PERIOD iterations.

    Two pictures, their disparities, mask, mix, label and confidence in a strip, for each picture of
    the batch. Strips go to TensorBoard and to ``OUTPUT_DIR/mixes/<number>_<iteration>.png``. For
    the main process only. Nothing is drawn before mixing starts.

    Args:
        cfg: read are VIS_PERIOD, DATASETS.TRAIN, INPUT.FORMAT and OUTPUT_DIR.
    """

    def __init__(self, cfg: CfgNode) -> None:
        self._cfg = cfg

    def after_step(self) -> None:
        """Draw if it is time."""
        done = self.trainer.iter + 1
        mix = unwrap(self.trainer.model).objectives["depth_mix"].last  # type: ignore[index,union-attr]
        if mix is None or done % self._cfg.VIS_PERIOD:
            return
        metadata = MetadataCatalog.get(self._cfg.DATASETS.TRAIN[0])
        folder = Path(self._cfg.OUTPUT_DIR, "mixes")
        for i, strip in enumerate(draw_mixes(mix, metadata, self._cfg.INPUT.FORMAT)):
            save_picture(strip, folder / f"{i}_{done:07d}.png")
            picture = torch.from_numpy(strip.copy()).permute(2, 0, 1)
            self.trainer.storage.put_image(f"mixes/{i}", picture)


def build_mix_pictures(cfg: CfgNode, model: nn.Module) -> list[HookBase]:
    """Return the hook that draws mixes if there are any and VIS_PERIOD asks for it."""
    mixes = "depth_mix" in getattr(unwrap(model), "objectives", {})
    return [MixPictures(cfg)] if mixes and cfg.VIS_PERIOD > 0 else []
