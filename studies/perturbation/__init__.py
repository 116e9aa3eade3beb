"""Pixel perturbation: does the response stay where a map sees nothing?"""
