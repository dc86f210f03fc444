"""Transforms of whole messages."""
