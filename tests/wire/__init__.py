"""Tests of the bytes ↔ frames layer."""
