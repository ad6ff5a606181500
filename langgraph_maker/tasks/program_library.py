"""Twenty small functions with what a model may write for them: right in two forms, plausibly wrong, and broken.

Each has probes, by which votes are compared, and truth tests, which no run sees: they say afterwards what was missed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from langgraph_maker.core.foreign import excerpt

__all__ = ["LIBRARY", "Function", "KnownFunction"]


@dataclass(frozen=True, kw_only=True)
class Function:
    """A function to write.

    Args:
        signature: Its first line, without the colon.
        docstring: What it does.
        probes: Lists of arguments; two programs with the same results on them are one answer.
        uses: Functions before it that it may call.

    Raises:
        ValueError: When the signature names no function, or there is no probe.

    Example:
        >>> Function(signature="def double(x)", docstring="Return twice x.", probes=[[3], [-1]]).name
        'double'
    """

    signature: str
    docstring: str
    probes: list[list[Any]]
    uses: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.signature.startswith("def ") or not self.name.isidentifier() or not self.signature.endswith(")"):
            raise ValueError(f"a signature is a line like 'def double(x)', not {excerpt(self.signature)}")
        if not self.probes:
            raise ValueError(f"{self.name} needs at least one probe, a list of arguments")

    @property
    def name(self) -> str:
        """What it is called."""
        return self.signature.removeprefix("def ").partition("(")[0]


@dataclass(frozen=True, kw_only=True)
class KnownFunction(Function):
    """A function whose truth ships with it.

    Args:
        right: Bodies that do what it says, each in another way.
        slips: Bodies that look right and are not.
        broken: Bodies that fail or do not end.
        tests: Lists of arguments and what is right for them.
    """

    right: tuple[str, ...]
    slips: tuple[str, ...]
    broken: tuple[str, ...] = ()
    tests: list[tuple[list[Any], Any]]

    def source(self, body: str) -> str:
        """Return the function with this body."""
        return "\n".join([f"{self.signature}:", *(f"    {line}" for line in body.splitlines())])


LIBRARY: Final = (
    KnownFunction(
        signature="def unique(items)",
        docstring="Return the items without those that came before, in the order in which they first come.",
        probes=[[[3, 1, 3, 2, 1]], [["b", "a", "b"]], [[]], [[1, 1, 1]]],
        right=(
            "return list(dict.fromkeys(items))",
            "found = []\nfor one in items:\n    if one not in found:\n        found.append(one)\nreturn found",
        ),
        slips=(
            "return sorted(set(items))",
            "return [one for place, one in enumerate(items) if one not in items[place + 1:]]",
            "return [one for place, one in enumerate(items) if place == 0 or one != items[place - 1]]",
        ),
        tests=[([[2, 2, 1]], [2, 1]), ([["x", "y", "x"]], ["x", "y"]), ([[5, 4, 5, 3]], [5, 4, 3])],
    ),
    KnownFunction(
        signature="def count_each(items)",
        docstring="Return a list [item, how often it comes] for each item, in the order in which they first come.",
        probes=[[["b", "a", "b"]], [[2, 2]], [[]], [[1, 2, 3, 1]]],
        uses=("unique",),
        right=(
            "return [[one, items.count(one)] for one in unique(items)]",
            (
                "counts = {}\nfor one in items:\n    counts[one] = counts.get(one, 0) + 1\n"
                "return [[one, counts[one]] for one in unique(items)]"
            ),
        ),
        slips=(
            "return [[one, items.count(one)] for one in items]",
            "return [[items.count(one), one] for one in unique(items)]",
            "return sorted([one, items.count(one)] for one in unique(items))",
        ),
        tests=[([["x", "y", "x"]], [["x", 2], ["y", 1]]), ([[3, 1]], [[3, 1], [1, 1]]), ([[]], [])],
    ),
    KnownFunction(
        signature="def most_common(items)",
        docstring="Return the item that comes most often in a list that is not empty; of several, the one that first"
        " comes first.",
        probes=[[["a", "b", "b"]], [[1, 2, 1, 2]], [["z"]], [[3, 1, 3]]],
        uses=("count_each",),
        right=(
            "return max(count_each(items), key=lambda pair: pair[1])[0]",
            (
                "best, most = items[0], 0\nfor one, count in count_each(items):\n    if count > most:\n"
                "        best, most = one, count\nreturn best"
            ),
        ),
        slips=(
            (
                "best, most = items[0], 0\nfor one, count in count_each(items):\n    if count >= most:\n"
                "        best, most = one, count\nreturn best"
            ),
            "return max(count_each(items))[0]",
            "return max(count for _, count in count_each(items))",
        ),
        broken=("return count_each(items)[len(items)][0]",),
        tests=[([["p", "q", "q"]], "q"), ([[4, 9, 9, 4]], 4), ([[7]], 7), ([[9, 1, 1, 1]], 1)],
    ),
    KnownFunction(
        signature="def clamp(x, low, high)",
        docstring="Return x, but no less than low and no more than high.",
        probes=[[5, 0, 10], [-3, 0, 10], [12, 0, 10], [7, 7, 7]],
        right=("return max(low, min(x, high))", "if x < low:\n    return low\nreturn high if x > high else x"),
        slips=("return min(low, max(x, high))", "return max(low, x)", "return min(x, high)"),
        tests=[([5, 0, 10], 5), ([-1, 0, 10], 0), ([11, 0, 10], 10), ([0, 0, 0], 0)],
    ),
    KnownFunction(
        signature="def digits(n)",
        docstring="Return the decimal digits of n, a whole number of at least 0, as a list, the first one first.",
        probes=[[907], [5], [40], [0]],
        right=(
            "return [int(one) for one in str(n)]",
            "found = [n % 10]\nwhile n >= 10:\n    n //= 10\n    found.insert(0, n % 10)\nreturn found",
        ),
        slips=(
            "found = []\nwhile n:\n    n, last = divmod(n, 10)\n    found.insert(0, last)\nreturn found",
            "found = [n % 10]\nwhile n >= 10:\n    n //= 10\n    found.append(n % 10)\nreturn found",
        ),
        broken=("return [int(one) for one in n]",),
        tests=[([1203], [1, 2, 0, 3]), ([0], [0]), ([7], [7])],
    ),
    KnownFunction(
        signature="def digit_sum(n)",
        docstring="Return the sum of the decimal digits of n, a whole number of at least 0.",
        probes=[[907], [38], [10], [99999]],
        uses=("digits",),
        right=("return sum(digits(n))", "total = 0\nfor digit in digits(n):\n    total += digit\nreturn total"),
        slips=(
            "total = sum(digits(n))\nreturn total if total < 10 else digit_sum(total)",
            "return sum(set(digits(n)))",
        ),
        broken=("return sum(digit(n))",),
        tests=[([1203], 6), ([99], 18), ([0], 0), ([500000], 5)],
    ),
    KnownFunction(
        signature="def gcd(a, b)",
        docstring="Return the greatest common divisor of a and b, whole numbers of at least 1.",
        probes=[[12, 18], [7, 5], [9, 3], [3, 9]],
        right=(
            "while b:\n    a, b = b, a % b\nreturn a",
            "return next(one for one in range(min(a, b), 0, -1) if a % one == b % one == 0)",
        ),
        slips=(
            "return next(one for one in range(min(a, b) - 1, 0, -1) if a % one == b % one == 0)",
            "return a % b or b",
        ),
        broken=("while a != b:\n    a = a - b\nreturn a",),
        tests=[([48, 36], 12), ([17, 4], 1), ([5, 5], 5), ([4, 100], 4), ([36, 48], 12)],
    ),
    KnownFunction(
        signature="def lcm(a, b)",
        docstring="Return the least common multiple of a and b, whole numbers of at least 1.",
        probes=[[4, 6], [3, 5], [8, 2], [6, 9]],
        uses=("gcd",),
        right=(
            "return a * b // gcd(a, b)",
            "multiple = a\nwhile multiple % b:\n    multiple += a\nreturn multiple",
        ),
        slips=("return a * b", "return a * b // gcd(a, b) ** 2", "return max(a, b) * gcd(a, b)"),
        tests=[([4, 10], 20), ([7, 7], 7), ([9, 6], 18), ([1, 5], 5)],
    ),
    KnownFunction(
        signature="def is_prime(n)",
        docstring="Return whether n, a whole number, is a prime number.",
        probes=[[7], [8], [2], [1], [25], [-7]],
        right=(
            "return n > 1 and all(n % one for one in range(2, n))",
            (
                "if n < 2:\n    return False\none = 2\nwhile one * one <= n:\n    if n % one == 0:\n"
                "        return False\n"
                "    one += 1\nreturn True"
            ),
        ),
        slips=(
            "return all(n % one for one in range(2, n))",
            "return n > 1 and all(n % one for one in range(2, int(n**0.5)))",
            "return n in (2, 3, 5, 7) or (n > 1 and all(n % one for one in (2, 3, 5, 7)))",
        ),
        broken=("return n > 1 and all(n % one for one in range(0, n))",),
        tests=[([1], False), ([2], True), ([9], False), ([97], True), ([121], False), ([0], False)],
    ),
    KnownFunction(
        signature="def primes_up_to(n)",
        docstring="Return the prime numbers up to n, n included, in order.",
        probes=[[10], [11], [2], [1]],
        uses=("is_prime",),
        right=(
            "return [one for one in range(2, n + 1) if is_prime(one)]",
            "found = []\nfor one in range(n + 1):\n    if is_prime(one):\n        found.append(one)\nreturn found",
        ),
        slips=(
            "return [one for one in range(2, n) if is_prime(one)]",
            "return [one for one in range(3, n + 1, 2) if is_prime(one)]",
            "return [1, *(one for one in range(2, n + 1) if is_prime(one))]",
        ),
        tests=[([13], [2, 3, 5, 7, 11, 13]), ([3], [2, 3]), ([0], [])],
    ),
    KnownFunction(
        signature="def prime_factors(n)",
        docstring="Return the prime factors of n, a whole number of at least 1, smallest first, each as often as it"
        " divides n.",
        probes=[[12], [7], [1], [45]],
        uses=("primes_up_to",),
        right=(
            (
                "found = []\nfor prime in primes_up_to(n):\n    while n % prime == 0:\n        found.append(prime)\n"
                "        n //= prime\nreturn found"
            ),
            (
                "for prime in primes_up_to(n):\n    if n % prime == 0:\n"
                "        return [prime, *prime_factors(n // prime)]\n"
                "return []"
            ),
        ),
        slips=(
            "return [prime for prime in primes_up_to(n) if n % prime == 0]",
            (
                "found = []\nfor prime in primes_up_to(n - 1):\n    while n % prime == 0:\n"
                "        found.append(prime)\n"
                "        n //= prime\nreturn found"
            ),
        ),
        broken=(
            "found = []\nwhile n > 1:\n    found += [one for one in primes_up_to(n) if n % one == 0]\nreturn found",
        ),
        tests=[([60], [2, 2, 3, 5]), ([13], [13]), ([1], []), ([49], [7, 7])],
    ),
    KnownFunction(
        signature="def flatten(lists)",
        docstring="Return one list of what is in the lists, in order; lists within them stay as they are.",
        probes=[[[[1, 2], [3]]], [[[], [4], []]], [[[[5], 6]]], [[]]],
        right=(
            "return [item for one in lists for item in one]",
            "found = []\nfor one in lists:\n    found.extend(one)\nreturn found",
        ),
        slips=(
            "found = []\nfor one in lists:\n    found.append(one)\nreturn found",
            (
                "found = []\nfor one in lists:\n    if isinstance(one, list):\n        found += flatten(one)\n"
                "    else:\n"
                "        found.append(one)\nreturn found"
            ),
        ),
        broken=("return sum(lists)",),
        tests=[([[[1], [2, 3]]], [1, 2, 3]), ([[[[1]], [2]]], [[1], 2]), ([[]], [])],
    ),
    KnownFunction(
        signature="def chunks(items, size)",
        docstring="Return the list cut into lists of so many items; the last may be shorter.",
        probes=[[[1, 2, 3, 4], 2], [[1, 2, 3], 2], [[], 3], [[1], 5]],
        right=(
            "return [items[start:start + size] for start in range(0, len(items), size)]",
            "found = []\nwhile items:\n    found.append(items[:size])\n    items = items[size:]\nreturn found",
        ),
        slips=(
            "return [items[start:start + size] for start in range(0, len(items) - size + 1, size)]",
            "return [items[start:start + size] for start in range(len(items) - size + 1)]",
            "return [items[start:start + size] for start in range(0, len(items) + 1, size)]",
        ),
        broken=("found = []\nwhile True:\n    found.append(items[:size])\n    items = items[size:]\nreturn found",),
        tests=[([[1, 2, 3, 4, 5], 2], [[1, 2], [3, 4], [5]]), ([[1, 2], 1], [[1], [2]]), ([[], 1], [])],
    ),
    KnownFunction(
        signature="def transpose(rows)",
        docstring="Return the columns of a table whose rows are equally long, each as a list.",
        probes=[[[[1, 2], [3, 4]]], [[[1, 2, 3]]], [[[1], [2]]], [[[5, 5], [5, 5]]]],
        right=(
            "return [list(column) for column in zip(*rows)]",
            "return [[row[place] for row in rows] for place in range(len(rows[0]))]",
        ),
        slips=(
            "return [list(reversed(row)) for row in rows]",
            "return [list(column) for column in zip(*reversed(rows))]",
            "return rows",
        ),
        broken=("return [[row[place] for row in rows] for place in range(len(rows[0]) + 1)]",),
        tests=[([[[1, 2], [3, 4], [5, 6]]], [[1, 3, 5], [2, 4, 6]]), ([[[7]]], [[7]])],
    ),
    KnownFunction(
        signature="def rotate(items, n)",
        docstring="Return the list turned to the left by n places, n a whole number of at least 0, also beyond its"
        " length.",
        probes=[[[1, 2, 3, 4], 1], [[1, 2, 3], 4], [[1, 2], 0], [[], 2]],
        right=(
            "n = n % len(items) if items else 0\nreturn items[n:] + items[:n]",
            "turned = list(items)\nfor _ in range(n):\n    turned = turned[1:] + turned[:1]\nreturn turned",
        ),
        slips=(
            "return items[n:] + items[:n]",
            "n = n % len(items) if items else 0\nreturn items[-n:] + items[:-n]",
            "n = n % len(items) if items else 0\nreturn items[n + 1:] + items[:n + 1]",
            "if n > len(items):\n    n -= len(items)\nreturn items[n:] + items[:n]",
        ),
        broken=("n = n % len(items)\nreturn items[n:] + items[:n]",),
        tests=[([[1, 2, 3], 1], [2, 3, 1]), ([[1, 2, 3], 8], [3, 1, 2]), ([[1, 2], 2], [1, 2]), ([[], 1], [])],
    ),
    KnownFunction(
        signature="def running_sums(numbers)",
        docstring="Return the sums of the first 1, 2, 3, … numbers.",
        probes=[[[1, 2, 3]], [[5]], [[]], [[2, -2, 4]]],
        right=(
            "found, total = [], 0\nfor number in numbers:\n    total += number\n    found.append(total)\nreturn found",
            "return [sum(numbers[:count]) for count in range(1, len(numbers) + 1)]",
        ),
        slips=(
            "return [sum(numbers[:count]) for count in range(len(numbers))]",
            "return [sum(numbers[:count]) for count in range(len(numbers) + 1)]",
            "return [sum(numbers[count:]) for count in range(len(numbers))]",
        ),
        tests=[([[4, 5]], [4, 9]), ([[0, 1, 0]], [0, 1, 1]), ([[]], [])],
    ),
    KnownFunction(
        signature="def moving_sums(numbers, width)",
        docstring="Return the sums of each width numbers that follow each other; none where there are fewer.",
        probes=[[[1, 2, 3, 4], 2], [[5, 6], 1], [[1], 2], [[3, 0, 3], 3]],
        uses=("running_sums",),
        right=(
            (
                "sums = [0, *running_sums(numbers)]\n"
                "return [sums[end] - sums[end - width] for end in range(width, len(sums))]"
            ),
            "return [sum(numbers[at:at + width]) for at in range(len(numbers) - width + 1)]",
        ),
        slips=(
            "return [sum(numbers[at:at + width]) for at in range(len(numbers))]",
            "return [sum(numbers[at:at + width]) for at in range(len(numbers) - width)]",
            "sums = running_sums(numbers)\nreturn [sums[at + width - 1] - sums[at] for at in range(len(sums) - width)]",
        ),
        broken=("sums = running_sums(numbers)\nreturn [sums[at + width] for at in range(len(sums))]",),
        tests=[([[1, 2, 3], 2], [3, 5]), ([[4, 4], 2], [8]), ([[1, 2], 3], []), ([[7, 8], 1], [7, 8])],
    ),
    KnownFunction(
        signature="def words(text)",
        docstring="Return the words of a text in small letters: stretches of letters, whatever stands between.",
        probes=[["Take it, now"], ["a  b"], [""], ["well-known 3rd"], ["End."]],
        right=(
            "spaced = ''.join(one.lower() if one.isalpha() else ' ' for one in text)\nreturn spaced.split()",
            (
                "found, word = [], ''\nfor one in text + ' ':\n    if one.isalpha():\n        word += one.lower()\n"
                "    elif word:\n        found.append(word)\n        word = ''\nreturn found"
            ),
        ),
        slips=(
            "return text.lower().split()",
            "return [one.strip('.,;:!?') for one in text.lower().split()]",
            "spaced = ''.join(one if one.isalpha() else ' ' for one in text)\nreturn spaced.split()",
            "import re\nreturn re.findall('[a-z]+', text.lower())",
        ),
        tests=[
            (["It's ON."], ["it", "s", "on"]),
            (["Café, olé"], ["café", "olé"]),
            (["x1y"], ["x", "y"]),
            ([" "], []),
            (["A, b"], ["a", "b"]),
        ],
    ),
    KnownFunction(
        signature="def acronym(text)",
        docstring="Return the first letters of the words of a text, as capitals and in one piece.",
        probes=[["as soon as possible"], ["Do-It yourself"], ["x"], ["one, two"]],
        uses=("words",),
        right=(
            "return ''.join(word[0] for word in words(text)).upper()",
            "letters = ''\nfor word in words(text):\n    letters += word[0].upper()\nreturn letters",
        ),
        slips=(
            "return ''.join(word[0] for word in words(text))",
            "return ''.join(word[0] for word in text.split()).upper()",
            "return '.'.join(word[0] for word in words(text)).upper()",
        ),
        broken=("return ''.join(word[1] for word in words(text)).upper()",),
        tests=[(["for your information"], "FYI"), (["read-only memory"], "ROM"), ([""], "")],
    ),
    KnownFunction(
        signature="def word_counts(text)",
        docstring="Return a list [word, how often it comes] for each word of a text, the most frequent first; of"
        " equally frequent ones the one that first comes first.",
        probes=[["a b b"], ["One two, two one"], [""], ["c b a c"]],
        uses=("words", "count_each"),
        right=(
            "return sorted(count_each(words(text)), key=lambda pair: -pair[1])",
            "found = count_each(words(text))\nfound.sort(key=lambda pair: pair[1], reverse=True)\nreturn found",
        ),
        slips=(
            "return count_each(words(text))",
            "return sorted(count_each(words(text)), key=lambda pair: pair[1])[::-1]",
            "return sorted(count_each(words(text)), key=lambda pair: (-pair[1], pair[0]))",
        ),
        broken=("return sorted(count_each(words(text)), key=lambda word, count: -count)",),
        tests=[(["x y y"], [["y", 2], ["x", 1]]), (["q p"], [["q", 1], ["p", 1]]), (["d c c d"], [["d", 2], ["c", 2]])],
    ),
)
"""In the order in which they are written; the later ones call the earlier ones. One probe tells the slips of the first
from what is right, as a simulated model asks of a task."""
