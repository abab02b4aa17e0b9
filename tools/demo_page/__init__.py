"""The parts of ``tools/make_demo.py``: its trainings, and a module for each chapter of the page."""
