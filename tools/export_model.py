#!/usr/bin/env python
"""Export a model: ``drfpn-da export``."""

import sys

from drfpn_da.cli.main import main

COMMAND = ["export"]

if __name__ == "__main__":
    sys.exit(main([*COMMAND, *sys.argv[1:]]))
