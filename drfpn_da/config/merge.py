"""Adding the keys of drfpn_da to a detectron2 config."""

from detectron2.config import CfgNode

from .defaults import get_defaults
from .safe_yaml import read_safely


def add_drfpn_da_config(cfg: CfgNode) -> None:
    """Add every key of drfpn_da to ``cfg`` in place, all methods off.

    Idempotent and independent of order: a key that is already there, whoever put it there, keeps
    its value. Call it between ``get_cfg()`` and ``cfg.merge_from_file(...)``, which from then on
    refuses files that would run code.
    """
    frozen = cfg.is_frozen()
    cfg.defrost()
    _add_missing(cfg, get_defaults())
    read_safely(cfg)
    if frozen:
        cfg.freeze()


def _add_missing(target: CfgNode, source: CfgNode) -> None:
    for key, value in source.items():
        if key not in target:
            target[key] = value
        elif isinstance(value, CfgNode) and isinstance(target[key], CfgNode):
            _add_missing(target[key], value)
