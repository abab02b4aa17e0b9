#!/usr/bin/env python
"""Count what a model is made of: ``drfpn-da analyze``."""

import sys

from drfpn_da.cli.main import Script

main = Script("analyze")

if __name__ == "__main__":
    sys.exit(main.run())
