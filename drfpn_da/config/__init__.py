"""Configuration: the keys of drfpn_da and the set-up shared by every tool."""

from .setup import argument_parser, merge_file, setup_cfg
from .tree import add_drfpn_da_config, check_config, get_defaults

__all__ = [
    "add_drfpn_da_config",
    "argument_parser",
    "check_config",
    "get_defaults",
    "merge_file",
    "setup_cfg",
]
