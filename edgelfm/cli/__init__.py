"""The `edgelfm` command: one short module a verb."""
