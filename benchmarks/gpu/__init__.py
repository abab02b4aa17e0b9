"""Everything that only a GPU can tell, in one run that fits its minutes: ``-m benchmarks.gpu``."""
