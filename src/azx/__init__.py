"""azx: train a policy-value network, prove it alive, export it to ONNX, play it without PyTorch.

In a wheel the layers lie in this folder. In a checkout they stand at the top of the repository,
where one sees them first, and this package is told to look there too.
"""

from pathlib import Path

__version__ = "0.1.0"

_HERE = Path(__file__).resolve().parent
if not (_HERE / "runtime").is_dir():
    __path__.append(str(_HERE.parents[1]))
