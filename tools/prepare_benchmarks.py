#!/usr/bin/env python
"""Check and convert benchmarks: ``drfpn-da data benchmarks``."""

import sys

from drfpn_da.cli.main import main

COMMAND = ["data", "benchmarks"]

if __name__ == "__main__":
    sys.exit(main([*COMMAND, *sys.argv[1:]]))
