#!/usr/bin/env python
"""Check and convert benchmarks: ``drfpn-da data benchmarks``."""

import sys

from drfpn_da.cli.main import Script

main = Script("data", "benchmarks")

if __name__ == "__main__":
    sys.exit(main.run())
