"""One file per degradation (formula, units, ranges, source) and the gated chain that mixes them.

``configs`` is free of torch; the modules that compute import it, so this package imports nothing by itself.
"""
