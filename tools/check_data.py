#!/usr/bin/env python
"""Check data before training: ``drfpn-da check``."""

import sys

from drfpn_da.cli.main import main

COMMAND = ["check"]

if __name__ == "__main__":
    sys.exit(main([*COMMAND, *sys.argv[1:]]))
