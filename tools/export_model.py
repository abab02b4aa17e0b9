#!/usr/bin/env python
"""Export a model: ``drfpn-da export``."""

import sys

from drfpn_da.cli.main import Script

main = Script("export")

if __name__ == "__main__":
    sys.exit(main.run())
