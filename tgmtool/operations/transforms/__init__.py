"""What the built-in stages of `pipe` do to whole messages, one file each; no threads, no processes."""
