#!/usr/bin/env python
"""Add the slender objects of one COCO file to another: ``drfpn-da data merge-slender``."""

import sys

from drfpn_da.cli.main import Script

main = Script("data", "merge-slender")

if __name__ == "__main__":
    sys.exit(main.run())
