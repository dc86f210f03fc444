"""What must hold against the reference implementation, whatever the module."""
