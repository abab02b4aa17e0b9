"""The parts of ``drfpn-da demo``: its trainings, and a module for each chapter of the page."""
