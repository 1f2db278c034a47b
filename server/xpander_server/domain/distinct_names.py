"""Estimate of the number of distinct names, in a fixed amount of memory (HyperLogLog).

The names that metrics reject are not stored, because a caller can invent any number of them. Each name is hashed: the
hash selects one of 1,024 registers, which keeps the largest number of leading zeros it has seen. Many leading zeros are
rare, so they show that many names were seen. A repeated name changes nothing, and two sketches are joined by the larger
value of each register. The error is about 3 %, and small counts are nearly exact.

A sketch is stored as text: the digit of each register is a character, from "0" on.
"""

import hashlib
import math

_BITS = 10
_REGISTERS = 1 << _BITS
_HASH_BITS = 64
_CORRECTION = 0.7213 / (1 + 1.079 / _REGISTERS)
_FIRST_DIGIT = ord("0")


class DistinctNames:
    """Sketch of a set of names.

    Args:
        text: Text of a stored sketch; empty for no names.
    """

    def __init__(self, text: str = "") -> None:
        digits = text.encode("ascii", "replace")
        self._registers = bytearray(max(0, digit - _FIRST_DIGIT) for digit in digits[:_REGISTERS])
        self._registers.extend(bytes(_REGISTERS - len(self._registers)))

    def add(self, name: str) -> bool:
        """Add a name; return whether the sketch has changed."""
        value = int.from_bytes(hashlib.blake2b(name.encode(errors="replace"), digest_size=_HASH_BITS // 8).digest())
        register, rest = value % _REGISTERS, value >> _BITS
        zeros = _HASH_BITS - _BITS - rest.bit_length() + 1
        is_new = zeros > self._registers[register]
        if is_new:
            self._registers[register] = zeros
        return is_new

    def join(self, other: "DistinctNames") -> None:
        """Add all names of another sketch."""
        self._registers = bytearray(map(max, self._registers, other._registers))

    def estimate(self) -> int:
        """Return about how many distinct names were added; 0 if none was."""
        empty = self._registers.count(0)
        estimate = _CORRECTION * _REGISTERS**2 / sum(2.0**-register for register in self._registers)
        if empty and estimate <= 2.5 * _REGISTERS:
            # While registers are empty, their share is the better measure.
            estimate = _REGISTERS * math.log(_REGISTERS / empty)
        return round(estimate)

    def to_text(self) -> str:
        """Return the sketch as text."""
        return bytes(register + _FIRST_DIGIT for register in self._registers).decode("ascii")
