"""Metrics and pictures to Weights & Biases."""

from __future__ import annotations

import os

from detectron2.config import CfgNode
from detectron2.utils.events import EventWriter, get_event_storage


class WandbWriter(EventWriter):
    """Sends the scalars of detectron2's event storage to Weights & Biases.

    Args:
        cfg: read are WANDB and OUTPUT_DIR; all of it is stored with the run.
        window: scalars are medians over this many iterations, as in TensorBoard.

    Raises:
        ImportError: wandb is not installed.
    """

    def __init__(self, cfg: CfgNode, window: int = 20) -> None:
        try:
            import wandb
        except ImportError as error:
            raise ImportError(
                "WANDB.ENABLED needs the package wandb: pip install wandb, "
                "or write WANDB.ENABLED False"
            ) from error
        self._wandb = wandb
        self._window = window
        self._last = -1
        self._run = wandb.init(
            project=cfg.WANDB.PROJECT,
            name=cfg.WANDB.NAME or os.path.basename(os.path.normpath(cfg.OUTPUT_DIR)),
            dir=cfg.OUTPUT_DIR,
            config=cfg,
            resume="allow",
        )

    def write(self) -> None:
        """Send what is new since the last call; pictures are left to the TensorBoard writer."""
        storage = get_event_storage()
        latest = storage.latest_with_smoothing_hint(self._window)
        new = {name: value for name, (value, at) in latest.items() if at > self._last}
        if new:
            self._last = max(at for _, at in latest.values())
            self._run.log(new, step=self._last)

    def close(self) -> None:
        """Finish the run."""
        self._run.finish()
