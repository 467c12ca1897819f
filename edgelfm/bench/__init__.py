"""How fast does it really run here? Measurements that can be repeated, shown and compared."""
