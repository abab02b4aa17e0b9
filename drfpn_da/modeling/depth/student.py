"""``DepthStudent``: a depth network that learns the disparity of another."""

from __future__ import annotations

from typing import Any

import torch
from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY
from torch import Tensor

from ...compat import register_if_free
from ...functional import berhu_loss
from .network import DepthNetwork


@register_if_free(META_ARCH_REGISTRY)
class DepthStudent(DepthNetwork):
    """Learns a teacher's disparity from few pictures (arXiv 2012.10782, section 3.4).

    Where it still errs, the pictures have what it has not seen; so it chooses what to annotate. In
    training a sample has "image" and "disparity", (H, W) in [0, 1]. The loss, ``depth/loss_berhu``,
    is the reversed Huber loss over all pixels of the pictures, those of the lowest rows without
    error.

    Args:
        rows: share of the rows, from above, that have an error, rounded down to whole rows; below
            is the car's own bonnet.
        network: arguments of :class:`DepthNetwork`.
    """

    @configurable
    def __init__(self, *, rows: float = 0.9, **network: Any) -> None:
        super().__init__(**network)
        self.rows = rows

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Read ``MODEL.DEPTH``, the backbone and the pixel statistics."""
        return {
            "rows": cfg.MODEL.DEPTH.STUDENT_ROWS,
            **cls.network_arguments(cfg, scales=1),
        }

    def losses(self, samples: list[dict[str, Any]]) -> dict[str, Tensor]:
        """Return ``depth/loss_berhu``.

        Raises:
            ValueError: a sample has no disparity; names it.
        """
        for x in samples:
            if "disparity" not in x:
                raise ValueError(
                    f"{x.get('file_name', 'a picture')} has no disparity to learn: write "
                    "INPUT.DISPARITY.ROOT, the folder of drfpn-da depth"
                )
        images = self.preprocess_image(samples)
        predicted = self.decoder(self.backbone(images.tensor))[0]
        # Pixels of all pictures in one row: padding is no picture.
        found, wanted, masks = [], [], []
        for one, x, (height, width) in zip(predicted, samples, images.image_sizes):
            found.append(one[0, :height, :width].flatten())
            wanted.append(x["disparity"].to(self.device, torch.float32).flatten())
            seen = torch.arange(height, device=self.device) < int(self.rows * height)
            masks.append(seen[:, None].expand(height, width).flatten())
        loss = berhu_loss(torch.cat(found), torch.cat(wanted), torch.cat(masks))
        return {"depth/loss_berhu": loss}
