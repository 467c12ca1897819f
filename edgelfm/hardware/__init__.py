"""What is this machine? Frozen facts, read by probes that never raise and never decide."""
