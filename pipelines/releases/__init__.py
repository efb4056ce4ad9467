"""The releases of a run: sealing, retention, lists, purges, and what is refused."""
