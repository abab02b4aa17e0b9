#!/usr/bin/env python
"""Check data before training: ``drfpn-da check``."""

import sys

from drfpn_da.cli.main import Script

main = Script("check")

if __name__ == "__main__":
    sys.exit(main.run())
