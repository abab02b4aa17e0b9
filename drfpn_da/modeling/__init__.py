"""Models: everything here registers itself in detectron2 registries."""
