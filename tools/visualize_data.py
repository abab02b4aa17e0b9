#!/usr/bin/env python
"""Write pictures of training data: ``drfpn-da visualize``."""

import sys

from drfpn_da.cli.main import main

COMMAND = ["visualize"]

if __name__ == "__main__":
    sys.exit(main([*COMMAND, *sys.argv[1:]]))
