"""The page's numbers for programs: JSON that may stand inside a ``<script>`` element."""

from __future__ import annotations

import json
import math
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from critpath.report.comparison import ComparisonContent
from critpath.report.content import Content
from critpath.report.run_content import RunContent

SCHEMA = 1
_UNSAFE = {ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&\u2028\u2029"}


def script_json(content: Content | ComparisonContent | RunContent) -> str:
    """Everything but the arrays, NaN and infinity as null, safe against ``</script>``.

    The maps of a text, one number a token, are in it too, to four significant digits.
    """
    arrays = isinstance(content, Content) and bool(content.tokens)
    text = json.dumps({"schema": SCHEMA, **_plain(content, arrays)}, ensure_ascii=False, allow_nan=False)
    return text.translate(_UNSAFE)


def _plain(value: Any, arrays: bool) -> Any:
    if is_dataclass(value):
        named = {field.name: getattr(value, field.name) for field in fields(value)}
        return {name: _plain(v, arrays) for name, v in named.items() if arrays or not isinstance(v, np.ndarray)}
    if isinstance(value, np.ndarray):
        return [_plain(float(f"{number:.4g}"), arrays) for number in value.flatten().tolist()]
    if isinstance(value, (tuple, list)):
        return [_plain(part, arrays) for part in value]
    if isinstance(value, np.generic):
        return _plain(value.item(), arrays)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
