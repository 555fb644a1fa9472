"""Prove that a network is alive and that the ONNX file computes what it computes."""
