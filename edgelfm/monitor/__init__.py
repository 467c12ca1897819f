"""What are memory, processor, heat, clocks and power doing right now? Readings, taken cheaply enough to repeat."""
