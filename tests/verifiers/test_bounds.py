"""What a model writes costs no time: numbers with too many digits and sums with too many terms are refused unread."""

import pytest

from whit.verifiers._equality import equal
from whit.verifiers._expressions import value
from whit.verifiers._latex import exact

pytest.importorskip("math_verify")

TOO_LARGE = [
    "9^{9^{9}}", "9^{2+9^{9}}", "9^{\\frac{9^{9}}{2}}", "((9^{99})^{99})^{99}", "2^{999 \\cdot 999}", "10^{99999}",
    "(999999!)", "((5!)!)!", "9^{99!}", "10^{-99999}", "\\binom{99999999}{44444444}", "\\binom{9^{9}}{9^{8}}",
    "{99999999 \\choose 44444444}",
    "\\Gamma(99999999)", "\\gcd(9^{9^{9}}, 3)", "\\exp(\\exp(\\exp(99)))", "e^{e^{e^{99}}}", "\\cosh(9999999)",
    "\\sum_{k=1}^{9999} k^k",
    "\\prod_{k=1}^{99999} k", "\\int_0^1 e^{x^2}\\sin(x^3) dx", "(x+y)^{999}", "(x+y+z)^{60}", "((x+1)^{10}+y)^{10}",
    "(x+1)^{99}(y+1)^{99}", "(1+\\sqrt{2}+\\sqrt{3})^{200}", "x^{x^{x^{x}}}",
]  # fmt: skip
SMALL = [
    "10^{999}", "10^{-30}", "2^{0.5}", "6.02 \\cdot 10^{23}", "20!", "\\binom{49}{6}", "\\binom{n+1}{2}", "\\gcd(12, 18)",
    "\\Gamma(5)",
    "e^{x^2}", "e^{1+x^2}",
    "x^{100}",    "(x+1)^{100}", "(x+y)^{30}", "(x+y+z)^{10}", "\\sqrt[100]{7}", "n!", "2^{n+1}",
    "\\sqrt{3+2\\sqrt{2}}", "\\frac{1}{x^2+1}",
]  # fmt: skip


@pytest.mark.parametrize("latex", TOO_LARGE)
@pytest.mark.usefixtures("ends")
def test_what_is_too_large_is_refused_unread(latex):
    assert not equal("5", latex)
    assert not equal("x+y=1", f"x+y={latex}") and not equal(f"x+y={latex}", "x+y=1")


@pytest.mark.parametrize("latex", SMALL)
def test_what_people_write_is_read(latex):
    assert value(exact(latex)) is not None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x + y = 1", "\\sqrt{2}x + \\sqrt{2}y = \\sqrt{2}"),
        ("x^2 - y^2 = 0", "(x-y)(x+y) = 0"),
        ("\\frac{x}{y} < 2", "4 > \\frac{2x}{y}"),
    ],
)
def test_equations_in_a_constant_ratio_are_equal(one, other):
    assert equal(one, other)


@pytest.mark.parametrize(
    "answer", ["x^2+y^2=(999999!)", "x^2+y^2=9^{9^{9}}", "(x+y)^{100}=4", "x^{100}+y^{100}=4", "x^2+y^2=\\{4\\}"]
)
@pytest.mark.usefixtures("ends")
def test_an_equation_with_too_much_to_expand_is_not_equal(answer):
    assert not equal("x^2+y^2=4", answer)
