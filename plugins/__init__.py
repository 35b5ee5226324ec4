"""The plugin manager and the built-in plugins, which use the same door as third parties."""
