"""Which settings are fastest here? Measured for a few seconds, once for a machine, runtime, network and quantization.

`search` is the strategy, pure; `space` says what there is to try and what memory allows; `tune` measures and keeps the
record that plans are made with from then on. The rig that measures belongs to the backend.
"""
