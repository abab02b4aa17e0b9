"""Data: datasets, loaders and generators."""
