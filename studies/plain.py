"""What a program of a study gives, as JSON."""

from __future__ import annotations

from typing import Any

from torch import Tensor


def plain(value: Any, digits: int = 5) -> Any:
    """Tensors as lists, numbers to so many digits, NaN as None; mappings and lists all the way down."""
    if isinstance(value, dict):
        return {str(name): plain(one, digits) for name, one in value.items()}
    if isinstance(value, Tensor):
        return plain(value.tolist(), digits)
    if isinstance(value, list | tuple):
        return [plain(one, digits) for one in value]
    if isinstance(value, float):
        return float(f"{value:.{digits}g}") if value == value else None
    return value
