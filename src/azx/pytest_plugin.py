"""The audit as a pytest fixture, for other people's tests; nothing heavy loads before its use."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from azx.export.auditing import Audit


@pytest.fixture
def assert_alive() -> Callable[..., Audit]:
    """A function that takes what `azx.export.audit` takes, and fails where a network is not alive.

    `strict=True` fails for warnings too. It gives the audit, for further questions:

        def test_my_network(assert_alive):
            assert_alive(MyNetwork(), torch.randn(16, 8), meant={"gate": "opens later"})
    """
    from azx.export import audit
    from azx.runtime.errors import CheckFailed

    def check(*arguments: object, strict: bool = False, **named: object) -> Audit:
        __tracebackhide__ = True
        found = audit(*arguments, **named)  # type: ignore[arg-type]
        try:
            found.require(strict)
        except CheckFailed as refusal:
            pytest.fail(str(refusal), pytrace=False)
        return found

    return check
