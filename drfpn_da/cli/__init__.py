"""The command ``drfpn-da``: a file for what each command does, its options in ``arguments``."""
