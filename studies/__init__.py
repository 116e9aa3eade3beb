"""The papers, run again: a folder a study."""
