"""What the faults of the released code and of the texts did to the published numbers."""
