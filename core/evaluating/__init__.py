"""Measuring restorers: suites of test images, peers, conventions of the metrics, reports."""
