"""The engine of `pipe`: stages joined by bounded links, started, watched and ended together."""
