"""Tests of the SDK inside other programs: each test runs a program and examines its result, output and resources."""
