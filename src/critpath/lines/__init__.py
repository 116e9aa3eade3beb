"""Integrals of neurons' gradients along a line from a baseline to the input, with their error.

``line`` says what a line is (of inputs, or of one site's activations), ``nodes`` evaluates points on it,
``quadrature`` has the rules and what their points tell of their error, judged on the neurons of ``sample``,
``mesh`` puts points where the error is, ``sums`` adds up, ``integral`` puts these together.
"""

from critpath.lines.integral import RULES, Plan, Result, integrate
from critpath.lines.line import InputLine, Line, SiteLine
from critpath.lines.mesh import Excess
from critpath.lines.sums import INTEGRANDS, Sums, zeros

__all__ = [
    "INTEGRANDS",
    "RULES",
    "Excess",
    "InputLine",
    "Line",
    "Plan",
    "Result",
    "SiteLine",
    "Sums",
    "integrate",
    "zeros",
]
