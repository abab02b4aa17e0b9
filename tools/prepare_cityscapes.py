#!/usr/bin/env python
"""Make small copies of Cityscapes: ``drfpn-da data cityscapes``."""

import sys

from drfpn_da.cli.main import main

COMMAND = ["data", "cityscapes"]

if __name__ == "__main__":
    sys.exit(main([*COMMAND, *sys.argv[1:]]))
