#!/usr/bin/env python
"""Write predicted disparity: ``drfpn-da depth``."""

import sys

from drfpn_da.cli.main import main

COMMAND = ["depth"]

if __name__ == "__main__":
    sys.exit(main([*COMMAND, *sys.argv[1:]]))
