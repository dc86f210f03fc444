"""How fast is tgmtool, beside the reference implementation and beside what the machine can do?

One script per job; `python -m benchmarks` runs them all. Nothing here is a test: machines differ
and are noisy, so only ratios taken side by side in one run mean anything.
"""
