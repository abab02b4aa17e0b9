"""drfpn_da adapts, trains and audits detectron2 models when labels are scarce or noisy.

Importing the package registers its parts in detectron2's registries, and a bridge for detectron2
trees whose Cityscapes modules import an unpublished path; nothing else.
"""

from . import _check_environment  # noqa: F401  (first: one clear message if detectron2 does not fit)

# isort: split
import importlib as _importlib
from typing import Any as _Any

from . import (
    checkpoint,  # noqa: F401  (registers drfpn-da:// weights)
    lazy,
    model_zoo,
)
from . import modeling as _modeling  # noqa: F401  (registers the models)
from . import objectives as _objectives  # noqa: F401  (registers the objectives)
from .compat import install_cityscapes_bridge as _install_cityscapes_bridge
from .config import add_drfpn_da_config, setup_cfg
from .data import (  # (registers the data sets)
    add_target,
    build_two_stream_loader,
    register_coco_json,
    register_image_folder,
)
from .modeling import AdaptiveModel, adapt
from .objectives import OBJECTIVE_REGISTRY, Objective

_install_cityscapes_bridge()

__version__ = "0.1.0"
#: Names of the engine, which is imported when one of them is asked for.
_OF_ENGINE = ("Trainer", "add_hooks", "start_run")
__all__ = [
    "OBJECTIVE_REGISTRY",
    "AdaptiveModel",
    "Objective",
    "Trainer",
    "__version__",
    "adapt",
    "add_drfpn_da_config",
    "add_hooks",
    "add_target",
    "build_two_stream_loader",
    "lazy",
    "model_zoo",
    "register_coco_json",
    "register_image_folder",
    "setup_cfg",
    "start_run",
]


def __getattr__(name: str) -> _Any:
    """Import what belongs to the engine at its first use: importing the package stays light."""
    if name not in _OF_ENGINE:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(_importlib.import_module(".engine", __name__), name)
