"""drfpn_da adapts, trains and audits detectron2 models when labels are scarce or noisy.

Importing the package registers its parts in detectron2's registries, and a bridge for detectron2
trees whose Cityscapes modules import an unpublished path; nothing else.
"""

from . import _check_environment  # noqa: F401  (first: one clear message if detectron2 does not fit)

# isort: split
from . import (
    checkpoint,  # noqa: F401  (registers drfpn-da:// weights)
    data,  # noqa: F401  (registers the data sets)
    model_zoo,
)
from . import modeling as _modeling  # noqa: F401  (registers the models)
from . import objectives as _objectives  # noqa: F401  (registers the objectives)
from .compat import install_cityscapes_bridge as _install_cityscapes_bridge
from .config import add_drfpn_da_config, setup_cfg

_install_cityscapes_bridge()

__version__ = "0.1.0"
__all__ = ["__version__", "add_drfpn_da_config", "model_zoo", "setup_cfg"]
