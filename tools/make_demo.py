#!/usr/bin/env python
"""Train small models and write a page of what the project does: ``drfpn-da demo``."""

import sys

from drfpn_da.cli.main import Script

main = Script("demo")

if __name__ == "__main__":
    sys.exit(main.run())
