"""Which model, backend, quantization and settings, and why? Pure functions over facts: no network, no weights."""
