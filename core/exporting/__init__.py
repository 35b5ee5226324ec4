"""A model as ONNX files that others can run: experts, extractor, routers, and a manifest that ties them together."""

from .exporter import export_onnx

__all__ = ["export_onnx"]
