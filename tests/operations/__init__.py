"""Producing, scanning, following and reading streams."""
