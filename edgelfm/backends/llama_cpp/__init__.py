"""LFM2 and any other GGUF through llama.cpp."""
