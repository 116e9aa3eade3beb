"""The only place that changes how a model runs: it sees and rewrites neurons, and undoes all it did.

``activations`` knows the functions, ``observer`` intercepts their calls, ``layout`` finds the batch in
them, ``state`` puts the model back, ``model.Network`` runs it, ``run.Run`` is what a run leaves behind,
``doctor`` reports what is covered, ``usage`` which parameters a forward pass uses.
"""

from critpath.network.boundaries import Boundaries, Boundary
from critpath.network.doctor import Diagnosis
from critpath.network.inputs import (
    ModelInput,
    batch_size,
    check_finite,
    map_tensors,
    sample_of,
    samples_of,
    tensors_of,
    tokens_of,
)
from critpath.network.model import Network, Rule
from critpath.network.observer import Embed
from critpath.network.run import BackwardRule, Run
from critpath.network.slopes import dual
from critpath.network.state import gradients_on
from critpath.network.suffix import Suffix
from critpath.network.tokens import Lookup
from critpath.network.usage import Use, parameter_usage

__all__ = [
    "BackwardRule",
    "Boundaries",
    "Boundary",
    "Diagnosis",
    "Embed",
    "Lookup",
    "ModelInput",
    "Network",
    "Rule",
    "Run",
    "Suffix",
    "Use",
    "batch_size",
    "check_finite",
    "dual",
    "gradients_on",
    "map_tensors",
    "parameter_usage",
    "sample_of",
    "samples_of",
    "tensors_of",
    "tokens_of",
]
