"""``python -m drfpn_da`` is the command ``drfpn-da``."""

import sys

from .cli.main import main

if __name__ == "__main__":
    sys.exit(main())
