"""The shuffle of the reference's split: NumPy's frozen ``RandomState(seed).shuffle``, without NumPy.

It is the Mersenne Twister MT19937 (Matsumoto and Nishimura, ACM TOMACS 8, 1998), seeded by one 32-bit word with the
authors' ``init_genrand``, and a Fisher-Yates shuffle whose indices are drawn by masked rejection.
"""

import random

_WORDS = 624


def _generator(seed: int) -> random.Random:
    # Python's own generator is the same twister, but its seeding is the authors' other one (``init_by_array``), so
    # the state is made here and set.
    state = [seed]
    for index in range(1, _WORDS):
        state.append((1812433253 * (state[-1] ^ (state[-1] >> 30)) + index) & 0xFFFFFFFF)
    generator = random.Random()
    generator.setstate((3, (*state, _WORDS), None))
    return generator


def shuffled(count: int, seed: int) -> list[int]:
    """Shuffle the numbers from 0 to ``count`` - 1.

    Args:
        count: How many numbers; below 2**32.
        seed: 0..4294967295.

    Returns:
        The numbers in the order that ``numpy.random.RandomState(seed).shuffle`` leaves them.
    """
    numbers = list(range(count))
    draw = _generator(seed).getrandbits
    for last in range(count - 1, 0, -1):
        mask = (1 << last.bit_length()) - 1
        while (chosen := draw(32) & mask) > last:
            pass
        numbers[last], numbers[chosen] = numbers[chosen], numbers[last]
    return numbers
