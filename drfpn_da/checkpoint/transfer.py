"""Segmentors that start from a depth network: ``MODEL.WEIGHTS: drfpn-da://transfer/<file>``."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Mapping
from typing import Any

import torch
from detectron2.utils.file_io import PathManager
from iopath.common.file_io import PathHandler
from torch import Tensor

from ..files import cache_root, write_whole
from .formats import read_weights

logger = logging.getLogger(__name__)

#: Name -> beginning of a key of ``SelfSupervisedDepth`` -> beginnings of the segmentor's keys.
RENAMED = {
    "transfer": {"backbone.": ["backbone."], "decoder.": ["sem_seg_head.decoder."]},
    "multi_task": {
        "backbone.": ["backbone."],
        "decoder.": ["sem_seg_head.decoder.", "sem_seg_head.depth."],
        "pose.": ["objectives.depth.pose."],
    },
}


def rename_depth_weights(state: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """Return the weights of a depth network under the names of a segmentor.

    Args:
        state: of ``SelfSupervisedDepth``.
        name: "transfer" for ``UNetSemSegHead``: backbone and decoder; "multi_task" for
            ``MultiTaskSemSegHead``: the decoder twice, and the pose network.

    Raises:
        ValueError: a part has no weights.
    """
    renamed: dict[str, Tensor] = {}
    for old, news in RENAMED[name].items():
        found = {key[len(old) :]: value for key, value in state.items() if key.startswith(old)}
        if not found:
            raise ValueError(
                f"no key begins with '{old}', as those of SelfSupervisedDepth do; there are "
                f"{sorted({key.split('.')[0] for key in state})}"
            )
        for new in news:
            # A segmentor's decoder predicts no disparity.
            plain = new == "sem_seg_head.decoder."
            kept = {k: v for k, v in found.items() if not (plain and k.startswith("predictors."))}
            renamed.update({new + key: value for key, value in kept.items()})
            logger.info("%d tensors of '%s' are read as '%s'", len(kept), old, new)
    return renamed


class TransferHandler(PathHandler):
    """Resolves ``drfpn-da://transfer/<file>`` and ``drfpn-da://multi_task/<file>``.

    The file, any path or address of a checkpoint of ``SelfSupervisedDepth``, is read anew each
    time; what is written lies under ``$DRFPN_DA_CACHE`` (default ``~/.cache/drfpn_da``). The
    checkpointer then says which tensors of the segmentor it did not find.
    """

    def _get_supported_prefixes(self) -> list[str]:
        return [f"drfpn-da://{name}/" for name in RENAMED]

    def _get_local_path(self, path: str, force: bool = False, **kwargs: Any) -> str:
        name, place = path[len("drfpn-da://") :].split("/", 1)
        file = PathManager.get_local_path(place)
        if not os.path.isfile(file):
            raise FileNotFoundError(
                f"{path}: there is no file {file}; train the depth network first"
            )
        loaded = read_weights(file)
        try:
            state = rename_depth_weights(loaded.get("model", loaded), name)
        except ValueError as error:
            raise ValueError(f"{path} is no checkpoint of a depth network: {error}") from error
        digest = hashlib.sha256(os.path.abspath(file).encode()).hexdigest()[:16]
        target = cache_root() / "transfer" / f"{name}_{digest}.pth"
        write_whole(target, lambda file: torch.save({"model": state}, file))
        return str(target)

    def _open(self, path: str, mode: str = "r", buffering: int = -1, **kwargs: Any) -> Any:
        return open(self._get_local_path(path), mode, buffering=buffering)


PathManager.register_handler(TransferHandler(), allow_override=True)
