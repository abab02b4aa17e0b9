#!/usr/bin/env python
"""Draw a model's predictions: ``drfpn-da predict``."""

import sys

from drfpn_da.cli.main import Script

main = Script("predict")

if __name__ == "__main__":
    sys.exit(main.run())
