"""Frames to meaning and back."""
