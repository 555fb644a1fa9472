"""Prove that a network is alive and that the ONNX file computes what it computes."""

from azx.export.auditing import Audit, audit

__all__ = ["Audit", "audit"]
