"""Backbones and bottom-up networks."""
