"""Student's t: how far the mean of a few measurements may lie from the truth.

With n measurements the deviation itself is only estimated, so the 95 % interval is wider than
the 1.96 deviations of the normal curve: 12.7 for two measurements, 4.3 for three, 2.6 for six
("Student", 1908, "The probable error of a mean").
"""

from __future__ import annotations

import math

_TERMS = 10_000
_TINY = 1e-300


def two_sided_p(t: float, freedom: float) -> float:
    """How likely chance alone gives a t at least as far from zero.

    Args:
        t: mean over its standard error; infinite where the error is zero.
        freedom: degrees of freedom, above 0.

    >>> round(two_sided_p(4.3027, 2), 4), two_sided_p(0.0, 5)
    (0.05, 1.0)
    """
    if math.isinf(t):
        return 0.0
    return incomplete_beta(freedom / 2, 0.5, freedom / (freedom + t * t))


def t_quantile(confidence: float, freedom: float) -> float:
    """The t that chance stays within, on both sides, with this probability.

    Args:
        confidence: between 0 and 1, such as 0.95.
        freedom: degrees of freedom, above 0.

    >>> [round(t_quantile(0.95, freedom), 3) for freedom in (1, 2, 5, 30)]
    [12.706, 4.303, 2.571, 2.042]
    """
    low, high = 0.0, 1.0
    while two_sided_p(high, freedom) > 1 - confidence:
        low, high = high, 2 * high
    while high - low > 1e-13 * high:
        middle = (low + high) / 2
        if middle in (low, high):
            break
        if two_sided_p(middle, freedom) > 1 - confidence:
            low = middle
        else:
            high = middle
    return high


def incomplete_beta(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function I_x(a, b).

    By its continued fraction (Press et al., 2007, "Numerical Recipes", section 6.4), which
    converges fast where x lies below (a + 1) / (a + b + 2); elsewhere by 1 - I_{1-x}(b, a).

    >>> incomplete_beta(1, 1, 0.25), round(incomplete_beta(2, 3, 0.5), 6)
    (0.25, 0.6875)
    """
    if x <= 0 or x >= 1:
        return 0.0 if x <= 0 else 1.0
    if x > (a + 1) / (a + b + 2):
        return 1.0 - incomplete_beta(b, a, 1 - x)
    logarithm = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    front = math.exp(logarithm + a * math.log(x) + b * math.log1p(-x)) / a
    return front * _continued_fraction(a, b, x)


def _continued_fraction(a: float, b: float, x: float) -> float:
    """Lentz's method, with the even and the odd term of the fraction in each turn."""
    c, d = 1.0, 1 / _off_zero(1 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, _TERMS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        change = 1.0
        for term in (even, odd):
            d = 1 / _off_zero(1 + term * d)
            c = _off_zero(1 + term / c)
            change = c * d
            value *= change
        if abs(change - 1) < 1e-15:
            break
    return value


def _off_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
