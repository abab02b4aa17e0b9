"""Evaluators, chosen from dataset metadata by one table."""
