"""Tests that mirror the modules; their names read as facts."""
