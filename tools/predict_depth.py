#!/usr/bin/env python
"""Write predicted disparity: ``drfpn-da depth``."""

import sys

from drfpn_da.cli.main import Script

main = Script("depth")

if __name__ == "__main__":
    sys.exit(main.run())
