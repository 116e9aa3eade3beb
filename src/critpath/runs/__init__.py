"""Runs: a plan, cut into tasks, whose results are shards in a folder; stopped, resumed, and scaled."""
