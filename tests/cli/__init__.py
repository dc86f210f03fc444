"""Tests of `tgmtool.cli`."""
