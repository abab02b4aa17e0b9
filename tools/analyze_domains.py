#!/usr/bin/env python
"""Draw and measure the distance of domains: ``drfpn-da domains``."""

import sys

from drfpn_da.cli.main import Script

main = Script("domains")

if __name__ == "__main__":
    sys.exit(main.run())
