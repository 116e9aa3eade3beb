"""Sanity checks: do maps depend on what the network learned?"""
