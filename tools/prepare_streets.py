#!/usr/bin/env python
"""Generate the street data sets: ``drfpn-da data streets``."""

import sys

from drfpn_da.cli.main import Script

main = Script("data", "streets")

if __name__ == "__main__":
    sys.exit(main.run())
