#!/usr/bin/env python
"""Draw a model's predictions: ``drfpn-da predict``."""

import sys

from drfpn_da.cli.main import main

COMMAND = ["predict"]

if __name__ == "__main__":
    sys.exit(main([*COMMAND, *sys.argv[1:]]))
