"""Recipes, sweeps and evaluation suites that come with the package, as YAML."""
