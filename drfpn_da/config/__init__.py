"""Configuration: the keys of drfpn_da and the set-up shared by every tool."""

from .defaults import get_defaults
from .merge import add_drfpn_da_config

__all__ = ["add_drfpn_da_config", "get_defaults"]
