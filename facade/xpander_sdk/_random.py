"""Random numbers that are not taken from the sequence of a program that has called `random.seed`."""

from random import SystemRandom

_source = SystemRandom()
random = _source.random
uniform = _source.uniform
