#!/usr/bin/env python
"""Write a COCO file with wrong classes: ``drfpn-da data noise``."""

import sys

from drfpn_da.cli.main import Script

main = Script("data", "noise")

if __name__ == "__main__":
    sys.exit(main.run())
