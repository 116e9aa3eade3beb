"""What the paper says in its section 6, and whether it holds: verdicts are computed from the kept results."""

from __future__ import annotations

from studies.conductance_text import published
from studies.conductance_text.claims_table import of_table_2
from studies.conductance_text.measured import (
    Results,
    above,
    below,
    counted,
    lines,
    lost,
    networks,
    of_phrase,
    over_networks,
    overlap,
    percent,
    points,
    share,
    share_above,
    share_above_method,
    share_by_both,
)
from studies.study import HOLDS, NOT, OPEN, PARTLY, Claim, Estimate, joint, shown
from studies.study import above as certainly_above

GOOD, BAD = "not good", "not bad"
TEXT, FIGURE_5, FIGURE_6 = "C, section 6.1", "C, figure 5", "C, figure 6"
LITTLE = 0.1
"""A share of an effect below which filters do not carry it."""

SAME_SENTIMENT = {GOOD: "bad", BAD: "good"}
"""Phrases without a negation that control for the class."""


def claims(results: Results) -> list[Claim]:
    """All claims with their verdicts."""
    return [
        _three(results),
        _negation(results, GOOD, FIGURE_5),
        _negation(results, BAD, FIGURE_6),
        _focused(results),
        _harvests(results),
        _different(results),
        _understands(results),
        _dedicated(results),
        *of_table_2(results),
    ]


def _three(results: Results) -> Claim:
    fitting = [of_phrase(part, GOOD)["fitting"] for part in networks(results, "sentiment")]
    enough = [number >= published.FITTING for number in fitting]
    verdict = HOLDS if all(enough) else PARTLY if any(enough) else NOT
    found = over_networks(results, lambda part: float(of_phrase(part, GOOD)["fitting"]))
    return Claim(
        TEXT,
        "Three filters of high conductance for “this is not good” have a high attribution to “not good”",
        "3 filters",
        f"{shown(found, 1)} of the ten of highest conductance; three or more in {counted(enough)} networks",
        verdict,
        "A filter fits where equation 2 adds for both words, and both have half or more of all magnitude.",
    )


def _negation(results: Results, phrase: str, source: str) -> Claim:
    base, drawn = (share_above(results, phrase, "20", among) for among in ("base", "random"))
    control = SAME_SENTIMENT[phrase]
    plain = share_above(results, phrase, "20", control)
    held = [above(one) for one in (base, drawn, plain)]
    verdict = HOLDS if all(held) else PARTLY if any(held) else NOT if below(base) else OPEN
    said = "negation, diminishing, and some stray errors" if phrase == GOOD else "largely negation"
    return Claim(
        source,
        f"Sentences of high conductance for the filters of “{phrase}” show negation",
        said,
        lines(
            {
                "with a negation among the first 20": percent(share(results, phrase, "20")),
                "by the filters for which both words count": percent(share_by_both(results, phrase, "20")),
                "above all sentences, points": points(base),
                "above three random filters": points(drawn),
                f"above the filters of “{control}”": points(plain),
            }
        ),
        verdict,
        "Holds where all three differences are above 0, in part where one is. The last two are controls that the paper "
        "does not have: sentences of high conductance may be long, and long ones negate more often; and there is more "
        "negation in one sentiment than in the other. Both words count at the three, of fifty filters of high "
        "conductance, whose least attribution to a word of the pattern is largest.",
    )


def _focused(results: Results) -> Claim:
    found = share(results, BAD, "10")
    verdict = HOLDS if above(found, 0.5) else NOT if below(found, 0.5) else OPEN
    shown_there, of = published.FIGURE_6
    return Claim(
        FIGURE_6,
        "The filters of “not bad” are largely focused on negation",
        f"{shown_there} of the {of} sentences printed",
        f"{percent(found)} of the first 10, by the filters for the logit of negative "
        f"{percent(share(results, f'{BAD} (negative)', '10'))}; for “not good” {percent(share(results, GOOD, '10'))}",
        verdict,
        "Largely: more than half of the first ten sentences hold a word that negates.",
    )


def _harvests(results: Results) -> Claim:
    less = [share_above_method(results, phrase, "20", "activation", "own") for phrase in (GOOD, BAD)]
    base = [share_above(results, phrase, "20", "base") for phrase in (GOOD, BAD)]
    works, better = all(map(above, base)), not any(map(below, less))
    verdict = HOLDS if works and better else PARTLY if works else NOT if all(map(below, less)) else OPEN
    return Claim(
        TEXT,
        "Conductance harvests rules: filters of high conductance for an exemplar, then sentences of high conductance "
        "for these (recommended in section 7)",
        "figures 5 and 6",
        lines(
            {
                f"“{phrase}”, negation among the first 20": f"conductance {percent(share(results, phrase, '20'))}, "
                f"activation {percent(share(results, phrase, '20', 'activation'))}"
                for phrase in (GOOD, BAD)
            }
        ),
        verdict,
        "The same steps with activation: the three most active filters for the exemplar, and the sentences that "
        "activate them most. Holds where conductance finds more negation than there is and no less than activation, "
        "in part where activation finds more, not where it does for both phrases and conductance finds no more than "
        "there is.",
    )


def _different(results: Results) -> Claim:
    found = over_networks(results, lambda part: overlap(part, GOOD, BAD))
    verdict = HOLDS if below(found, 0.5) else NOT if above(found, 0.5) else OPEN
    return Claim(
        TEXT,
        "A different set of filters is behind “not bad”",
        "different sets",
        f"{percent(found)} of the three are shared; by chance {100 * 3 / 256:.0f} %",
        verdict,
        "Each phrase is measured for the logit of its own sentiment, so the sets differ for “good” and “bad” as well: "
        f"{percent(over_networks(results, lambda part: overlap(part, 'good', 'bad')))} are shared there.",
    )


def _understands(results: Results) -> Claim:
    turned, shift = ({kind: by_not(results, kind, what) for kind in _BOTH} for what in ("turned", "shift"))
    verdict = joint([certainly_above(turned[kind], 0.5) for kind in _BOTH])
    return Claim(
        TEXT,
        "The network understands negation",
        "suggested by figure 6",
        lines(
            {
                f"{kind} adjectives turned by “not”": f"{percent(turned[kind])}, margin {shown(shift[kind], 1)}"
                for kind in _BOTH
            }
        ),
        verdict,
        "“This is A” against “this is not A” for ten adjectives of each kind; the margin is the logit of positive less "
        "that of negative. A network that understands turns both kinds. One for which “not” is a negative word like "
        "others moves both the same way. Holds where more than half are certainly turned of both kinds.",
    )


_BOTH = ("positive", "negative")


def by_not(results: Results, kind: str, what: str) -> Estimate:
    """What "not" does to adjectives of a kind."""
    return over_networks(results, lambda part: float(part["understood"][kind][what]))


def _dedicated(results: Results) -> Claim:
    gone = over_networks(results, lambda part: lost(part, GOOD, "positive"))
    more = over_networks(results, lambda part: lost(part, GOOD, "positive") - lost(part, GOOD, "positive", None))
    verdict = HOLDS if above(more, 0.5) else NOT if below(more, LITTLE) else PARTLY if above(more) else OPEN
    return Claim(
        TEXT,
        "The network has dedicated filters for handling negations",
        "three filters",
        f"without the three, {percent(gone)} of what “not” does to positive adjectives is lost; {points(more)} points "
        "more than without three random ones",
        verdict,
        "The three filters of “not good” are set to 0, which the paper does not do. Holds where more than half is "
        "lost beyond chance, in part where anything is, not where it is less than a tenth.",
    )
