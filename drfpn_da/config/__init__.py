"""Configuration: the keys of drfpn_da and the set-up shared by every tool."""

from .check import check_config
from .defaults import get_defaults
from .merge import add_drfpn_da_config
from .setup import argument_parser, merge_file, setup_cfg

__all__ = [
    "add_drfpn_da_config",
    "argument_parser",
    "check_config",
    "get_defaults",
    "merge_file",
    "setup_cfg",
]
