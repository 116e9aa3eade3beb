"""All of it for one input: scores, pathway, maps, controls, and the page that shows them."""

from critpath.explanation.explain import SPARSITIES, Explanation, Progress, check_options, explain

__all__ = ["SPARSITIES", "Explanation", "Progress", "check_options", "explain"]
