"""Which map of a pathway is the best one: chosen on one network and one half of the photographs, tried on the rest."""
