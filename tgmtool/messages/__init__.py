"""Frames to meaning and back: metadata, descriptors, index, hashes, objects. No I/O."""
