#!/usr/bin/env python
"""Write pictures of training data: ``drfpn-da visualize``."""

import sys

from drfpn_da.cli.main import Script

main = Script("visualize")

if __name__ == "__main__":
    sys.exit(main.run())
