"""Whole training steps of multi-layer perceptrons, by mlpeak and by its peers.

nets.py says what a net is: sizes, data, first parameters and FLOPs, the same for every library.
with_<library>.py writes its step as a careful user of that library does, and is imported in that
library's process alone. adam.py, sgd.py and latency.py are the families of workloads.
"""
