#!/usr/bin/env python
"""Write a COCO file with wrong classes: ``drfpn-da data noise``."""

import sys

from drfpn_da.cli.main import main

COMMAND = ["data", "noise"]

if __name__ == "__main__":
    sys.exit(main([*COMMAND, *sys.argv[1:]]))
