#!/usr/bin/env python
"""Train or evaluate a model described by a LazyConfig: ``drfpn-da train``."""

import sys

from drfpn_da.cli.main import main

COMMAND = ["train"]

if __name__ == "__main__":
    sys.exit(main([*COMMAND, *sys.argv[1:]]))
