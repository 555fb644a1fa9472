"""Play, search, solve and measure, with numpy, numba and onnxruntime alone."""
