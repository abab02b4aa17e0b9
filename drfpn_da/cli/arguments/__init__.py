"""Names, options and help of all commands, read without torch or detectron2.

A module describes one command: its docstring is the command's help, ``add_arguments`` adds the
options and names the job, "module" or "module:function" of :mod:`drfpn_da.cli`. Where options
depend on each other, ``verify`` checks them before anything is imported.
"""
