"""The pathway that an attribution goes along: the given one, checked, or one that is found."""

from __future__ import annotations

from critpath.errors import MismatchError
from critpath.pathway import Pathway
from critpath.response import Response
from critpath.selection import find_in_response


def pathway_or_found(response: Response, pathway: Pathway | None, sparsity: float, finder: str, scope: str) -> Pathway:
    """``pathway``, or the one of ``finder`` on this response. Raises MismatchError where it does not fit."""
    if pathway is None:
        return find_in_response(response, finder, sparsity, scope=scope)
    if difference := response.space.difference(pathway.space):
        raise MismatchError(f"the pathway is of another network or input shape: network against pathway, {difference}")
    if pathway.batch != response.run.batch:
        raise MismatchError(f"the pathway holds {pathway.batch} samples, the input {response.run.batch}")
    return pathway
