"""Data: datasets, loaders and generators. Importing it registers the data sets by name."""

from .datasets import register_all

register_all()
