"""Whether JSON that was read is laid out as it should be.

A layout is a type, a tuple of types, a list of one layout for all items, or a dict of layouts by
name; names that end in `?` may be missing, and `*` stands for all other names.
"""

from __future__ import annotations

from typing import Any

Layout = Any

NUMBER = (int, float)


def misfit(found: Any, layout: Layout, where: str = "it") -> str | None:
    """The first thing that is not as `layout` says, in words; None where everything is.

    Any list may be empty.
    """
    if isinstance(layout, dict):
        return _misfit_of_names(found, layout, where)
    if isinstance(layout, list):
        if not isinstance(found, list):
            return f"{where} is {type(found).__name__}, expected a list"
        numbered = ((item, f"{where}[{number}]") for number, item in enumerate(found))
        return next(filter(None, (misfit(item, layout[0], name) for item, name in numbered)), None)
    if not isinstance(found, layout) or (isinstance(found, bool) and layout is not bool):
        return f"{where} is {type(found).__name__}"
    return None


def _misfit_of_names(found: Any, layout: dict[str, Layout], where: str) -> str | None:
    if not isinstance(found, dict):
        return f"{where} is {type(found).__name__}, expected an object"
    for key, part in layout.items():
        if key == "*":
            others = {name: part for name in found if name not in layout}
            if wrong := _misfit_of_names(found, others, where):
                return wrong
            continue
        name = key.removesuffix("?")
        if name not in found:
            if name == key:
                return f"{where} has no {name!r}"
            continue
        if wrong := misfit(found[name], part, name if where == "it" else f"{where}.{name}"):
            return wrong
    return None
