"""Bytes to frame events and back, sans-IO: no reading, no clock, no CBOR, no arrays."""
