"""Measurements, never tests: each stage alone and the whole way, with ratios in one run.

A figure is named `stage.figure`. `make bench` prints a table and writes a flat JSON object of names to numbers,
with the machine, versions and commit beside them. Figures of different machines do not compare; ratios of one
run do.
"""
