"""onnxruntime sessions: on the provider that was asked for, or an error."""

from __future__ import annotations

import warnings
from pathlib import Path

import onnxruntime as ort

from azx.runtime.errors import ModelError, ProviderError, ProviderWarning, UsageError, first_line

#: By the names that users give.
PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


def present_providers() -> list[str]:
    """The providers of `PROVIDERS` that this onnxruntime was built with, by their short names."""
    return [name for name, long in PROVIDERS.items() if long in ort.get_available_providers()]


def working_providers(model: bytes) -> list[str]:
    """Those of `present_providers` that a session with `model` really gets.

    The CPU always is, and is not tried: whoever opens a model that does not load is told why there.
    """
    return [name for name in present_providers() if name == "cpu" or _is_got(model, name)]


def _is_got(model: bytes, provider: str) -> bool:
    try:
        return provider_of(open_session(model, provider)) == provider
    except Exception:  # as above: of a model that loads nowhere, CUDA is not to blame
        return True


def provider_of(session: ort.InferenceSession) -> str:
    """The short name of the provider that a session really got."""
    return next(name for name, long in PROVIDERS.items() if long == session.get_providers()[0])


def open_session(
    model: bytes | str,
    provider: str = "cpu",
    *,
    as_written: bool = False,
    threads: int | None = None,
) -> ort.InferenceSession:
    """A session on `provider`, or on the CPU where that does not work: see `provider_of`.

    `as_written` switches optimisations off; without `threads` there are as many as onnxruntime
    likes. Raises what onnxruntime raises where it cannot load the model.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads or 0
    if as_written:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    if provider == "cpu":
        options.log_severity_level = 4
        return ort.InferenceSession(model, options, providers=[PROVIDERS["cpu"]])
    # Which of CUDA's libraries is missing stands in onnxruntime's log alone.
    options.log_severity_level = 3
    if hasattr(ort, "preload_dlls"):
        ort.preload_dlls()
    # TF32 would put errors of 1e-3 where the CPU has 1e-6.
    cuda = (PROVIDERS["cuda"], {"use_tf32": "0"})
    return ort.InferenceSession(model, options, providers=[cuda, PROVIDERS["cpu"]])


def session_of(
    model: bytes, path: Path, provider: str, threads: int | None
) -> tuple[str, ort.InferenceSession]:
    """The provider that is used, and a session on it; `path` is for messages.

    `auto` takes CUDA where it works, with a `ProviderWarning` where onnxruntime has it and it does
    not. Raises `UsageError` for an unknown name, `ProviderError` where CUDA was asked for and is
    not to be had, `ModelError` where onnxruntime cannot load the model.
    """
    if provider not in (*PROVIDERS, "auto"):
        raise UsageError(f"no provider {provider!r}; there are: {', '.join(PROVIDERS)}, auto")
    present = present_providers()
    wanted = provider if provider != "auto" else "cuda" if "cuda" in present else "cpu"
    if wanted not in present:
        raise ProviderError(
            f"CUDA was asked for, and this onnxruntime has only {', '.join(present)}: install "
            "onnxruntime-gpu, or use --provider cpu"
        )
    try:
        session = open_session(model, wanted, threads=threads)
    except Exception as error:  # onnxruntime's own exceptions share no base
        raise ModelError(f"{path}: onnxruntime cannot load it: {first_line(error)}") from error
    used = provider_of(session)
    if used != wanted:
        why = "the session runs on the CPU: the CUDA or cuDNN libraries were not found"
        if provider == "cuda":
            raise ProviderError(f"CUDA was asked for, and {why}")
        warnings.warn(
            f"this onnxruntime has CUDA, and {why}; --provider cpu asks for no more",
            ProviderWarning,
            stacklevel=2,
        )
    return used, session
