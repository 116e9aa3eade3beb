"""What the papers' released code does where it departs from the papers, beside what the papers define.

Four artefacts of pathways (``ARTEFACTS``, compared by ``audit``) and five of maps and their evaluation
(``MAP_ARTEFACTS``), each with the call that reproduces it, written from a description of the released code's behaviour;
for audit only. Nothing else in this package uses them.
"""

from critpath.audit.artefacts import ARTEFACTS, MAP_ARTEFACTS, Artefact, artefacts
from critpath.audit.greedy import oscillating_greedy
from critpath.audit.intgrad import alpha_schedule, first_calls, released_intgrad
from critpath.audit.maps import eight_bit, summed_gradients
from critpath.audit.report import AuditReport, Version, audit
from critpath.audit.ties import percentile_pathway

__all__ = [
    "ARTEFACTS",
    "MAP_ARTEFACTS",
    "Artefact",
    "AuditReport",
    "Version",
    "alpha_schedule",
    "artefacts",
    "audit",
    "eight_bit",
    "first_calls",
    "oscillating_greedy",
    "percentile_pathway",
    "released_intgrad",
    "summed_gradients",
]
