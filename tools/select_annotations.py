#!/usr/bin/env python
"""Choose which pictures to annotate: ``drfpn-da select``."""

import sys

from drfpn_da.cli.main import Script

main = Script("select")

if __name__ == "__main__":
    sys.exit(main.run())
