"""A transformer that adds modulo 113: does the pathway find the neurons that are known to act together?"""
