#!/usr/bin/env python
"""Train or evaluate a model described by a config: ``drfpn-da train``."""

import sys

from drfpn_da.cli.main import Script
from drfpn_da.cli.train import main  # noqa: F401  (for launchers of one's own)

if __name__ == "__main__":
    sys.exit(Script("train").run())
