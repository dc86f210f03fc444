"""Damaged and hostile input: a corpus with known verdicts, single-bit flips, mutations by the million."""
