#!/usr/bin/env python
"""Find, review and correct wrong labels: ``drfpn-da audit``."""

import sys

from drfpn_da.cli.main import Script

main = Script("audit")

if __name__ == "__main__":
    sys.exit(main.run())
