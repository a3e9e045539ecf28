"""Numbers that know their formula, so that a formula beside a number can never be another's.

    d, F = symbol("d", 128), symbol("F", 344)
    up = d * (2 * F)
    up.value, up.formula          # 88064, "d × 2 × F"
    up + 7 * d                    # 88960, "d × 2 × F + 7 × d"

Only what counting needs is here: sums, differences and products.
What is zero or a factor of one leaves no trace in the formula.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

_SUM, _PRODUCT, _WHOLE = range(3)
"""How firmly a formula hangs together: what is looser than its surroundings gets brackets."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number and how it came about.

    Attributes:
        value: the number.
        formula: in symbols, such as ``L × d × d``.
        binding: whether the formula is a sum, a product or a single symbol.
    """

    value: int
    formula: str
    binding: int = _WHOLE

    def __add__(self, other: Quantity | int) -> Quantity:
        """The sum."""
        other = quantity(other)
        if not other.value:
            return self
        if not self.value:
            return other
        return Quantity(self.value + other.value, f"{self.formula} + {other.formula}", _SUM)

    __radd__ = __add__

    def __sub__(self, other: Quantity | int) -> Quantity:
        """The difference."""
        other = quantity(other)
        if not other.value:
            return self
        formula = f"{self.formula} − {_inside(other, _PRODUCT)}"
        return Quantity(self.value - other.value, formula, _SUM)

    def __mul__(self, other: Quantity | int) -> Quantity:
        """The product.

        >>> T, d = symbol("T", 16), symbol("d", 4)
        >>> (2 * T * (d + 1) * 1).formula
        '2 × T × (d + 1)'
        """
        other = quantity(other)
        if not (self.value and other.value):
            return NOTHING
        if other.formula == "1":
            return self
        if self.formula == "1":
            return other
        formula = f"{_inside(self, _PRODUCT)} × {_inside(other, _PRODUCT)}"
        return Quantity(self.value * other.value, formula, _PRODUCT)

    def __rmul__(self, other: int) -> Quantity:
        """The product with a number before it."""
        return quantity(other) * self


def symbol(name: str, value: int) -> Quantity:
    """A number that formulas call by a name."""
    return Quantity(value, name)


def quantity(value: Quantity | int) -> Quantity:
    """A plain number as a quantity; a quantity stays what it is."""
    return value if isinstance(value, Quantity) else Quantity(value, f"{value:,}")


def total(parts: Iterable[Quantity]) -> int:
    """The values of all ``parts`` together.

    >>> total([symbol("a", 2), symbol("b", 3)])
    5
    """
    return sum(part.value for part in parts)


def _inside(inner: Quantity, surroundings: int) -> str:
    return f"({inner.formula})" if inner.binding < surroundings else inner.formula


NOTHING = quantity(0)
