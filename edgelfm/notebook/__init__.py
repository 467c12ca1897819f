"""Widgets over the public objects, for JupyterLab and everything that shows its widgets. Nothing is computed here."""
