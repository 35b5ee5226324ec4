"""Extending a trained model without retraining anybody: a new degradation, expert or level, or one node fewer.

Every operation makes the next version of a model in one commit: a hierarchy, cost table and routers of its own, and
experts for its new nodes only. Older experts are read, never written; older versions stay in the registry.
"""
