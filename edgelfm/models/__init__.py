"""Which models exist, what files they come in, and where a file is on this disk. Nothing here runs a model."""
