#!/usr/bin/env python
"""Count slender objects: ``drfpn-da slender``."""

import sys

from drfpn_da.cli.main import Script

main = Script("slender")

if __name__ == "__main__":
    sys.exit(main.run())
