"""Eight attribution methods on trained networks, by one plan."""
