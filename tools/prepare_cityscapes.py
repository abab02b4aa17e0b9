#!/usr/bin/env python
"""Make small copies of Cityscapes: ``drfpn-da data cityscapes``."""

import sys

from drfpn_da.cli.main import Script

main = Script("data", "cityscapes")

if __name__ == "__main__":
    sys.exit(main.run())
