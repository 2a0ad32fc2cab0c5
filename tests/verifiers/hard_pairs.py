r"""Hard pairs of a gold answer and an answer, with labels set by hand: whether the answer should be taken.

The conventions behind the labels: equal means exactly equal, so 0.333 is not 1/3; '50%' is 50, not 0.5; a unit may be
left out, but not be another one; order counts in tuples and intervals, not in sets; an answer that is not worked out is
equal; words, dates, times, ratios, other bases and code are equal when they are written alike.
"""

SAME = r"""
fractions
\frac{1}{2} | 0.5
\frac{1}{2} | 1/2
\frac12 | \dfrac{1}{2}
\frac{1}{2} | \tfrac{2}{4}
\frac{3}{4} | .75
-\frac{3}{4} | \frac{-3}{4}
-\frac{3}{4} | \frac{3}{-4}
\frac{22}{7} | 22/7
\frac{1}{3} | 0.\overline{3}
\frac{7}{90} | 0.0\overline{7}
\frac{\sqrt{3}}{2} | \frac{3}{2\sqrt{3}}
\frac{1}{\sqrt{2}} | \frac{\sqrt{2}}{2}
\frac{a+b}{c} | \frac{a}{c}+\frac{b}{c}
½ | 0.5
mixed numbers
1\frac{1}{2} | \frac{3}{2}
1\frac{1}{2} | 1.5
2 3/4 | 11/4
2\frac{3}{4} | 2 3/4
percent
50\% | 50
50 | 50%
12.5\% | 12.5
12.5\% | \frac{25}{2}
50\% | 50 percent
units
5 | 5 \text{ cm}
5\text{ cm} | 5 cm
5\text{ cm} | 5
18 | 18 apples
12\text{ cm}^2 | 12
12\text{ cm}^2 | 12 cm^2
90^\circ | 90
90^\circ | 90 degrees
30^{\circ} | 30°
\frac{5}{2}\text{ hours} | 2.5 hours
60 | 60 miles per hour
5 | 5 m
5\text{ m} | 5 m
2.5\text{ s} | 2.5 s
\frac{1}{2}\text{ h} | \frac{1}{2} h
3 m | 3m
12 | 12\text{ cubic centimeters}
\$18 | 18
\$18.00 | 18 dollars
18 | $18
money and thousands
1,080 | 1080
1{,}080 | 1080
\$1,234,567 | 1234567
10,\!080 | 10080
10,\!080 | 10,080
10080 | 10,\! 080
11,\! 111,\! 100 | 11111100
1\!000 | 1000
1000 | 1\,000
1,000 | 1 000
1000 | 1 000
12 345 678 | 12345678
x = 1\,000 | 1000
\frac{1000}{3} | \frac{1\,000}{3}
1000, 2000 | 1\,000, 2\,000
1000.5 | 1\,000.5
1\,000\text{ cm} | 1000
10,000 | 10^4
12,345.50 | 12345.5
roots
\sqrt{12} | 2\sqrt{3}
\sqrt{8} | 2^{3/2}
\sqrt[3]{8} | 2
\sqrt 2 | 2^{0.5}
3\sqrt{2} | \sqrt{18}
sqrt(3) | \sqrt{3}
√3 | \sqrt{3}
2√5 | \sqrt{20}
\sqrt{4} | 2
\sqrt{3+2\sqrt{2}} | 1+\sqrt{2}
\sqrt{x+1} | (x+1)^{1/2}
pi and e
\pi | pi
2\pi | 2π
\frac{\pi}{4} | \pi/4
\frac{\pi}{4} | 0.25\pi
4\pi r^2 | 4 \cdot \pi \cdot r^2
e^2 | e^{2}
e^{2} | \exp(2)
\ln 4 | 2\ln 2
\log_2 8 | 3
signs
-5 | −5
-5 | -5.0
-(3-8) | 5
+5 | 5
-x+y | y-x
0 | -0
scientific notation
3 \times 10^4 | 30000
3 \times 10^{-4} | 0.0003
1.5e3 | 1500
6.02 \times 10^{23} | 6.02 \cdot 10^{23}
3 x 10^4 | 30000
1.2E-3 | 0.0012
polynomials
x^2+2x+1 | (x+1)^2
(x-1)(x+1) | x^2-1
2x+3 | 3+2x
2x | x*2
x^{10} | x^10
x^2 | x**2
3(x+2) | 3x+6
\frac{x^2-1}{x-1} | x+1
xy | yx
\sin^2 x + \cos^2 x | 1
\sin(2x) | 2\sin x\cos x
\cos 60^\circ | 1/2
\cos 60^\circ | \frac{1}{2}
\frac{\sqrt{3}}{2} | \sin(60^{\circ})
2\sin 30^\circ | 1
|x-1| | |1-x|
2^{10} | 1024
5! | 120
\binom{5}{2} | 10
\frac{1}{1+\frac{1}{2}} | \frac{2}{3}
equations
5 | x = 5
x = 5 | 5
x=5 | x = 5
y = 2x + 3 | y = 3 + 2x
y = 2x+3 | 2x+3
2x - y + 3 = 0 | y = 2x + 3
x^2 + y^2 = 4 | 4 = x^2 + y^2
x + y = 1 | 2x + 2y = 2
f(x) = x^2 | x^2
9 | 5 + 4 = 9
9 | x = 5 + 4 = 9
12 | 3 \cdot 4 = 2 \cdot 6 = 12
25\pi | A = \pi r^2 = 25\pi
f'(x) = 2x | f'(x) = 2 \cdot x
\mathbb{R} | x \in \mathbb{R}
A = \pi r^2 | \pi r^2
inequalities and intervals
(2, 5] | (2,5]
(2, \infty) | x > 2
x > 2 | 2 < x
x \ge 2 | x >= 2
x \le 3 | (-\infty, 3]
1 < x < 3 | (1, 3)
1 < x \le 3 | x \in (1, 3]
(-\infty, 0) \cup (1, \infty) | (-\infty,0)\cup(1,\infty)
(-\infty, 0) \cup (1, \infty) | (1, \infty) \cup (-\infty, 0)
[0, \frac{1}{2}] | [0, 0.5]
2x < 4 | 4 > 2x
\left(0,1\right) | (0, 1)
x + y < 2 | 2x + 2y < 4
sets and lists
\{1, 2\} | \{2, 1\}
1, 2 | 2, 1
1, 2 | 1 and 2
1,2,3 | \{1,2,3\}
\{\frac{1}{2}, 3\} | \{3, 0.5\}
x = 1, x = 2 | 1, 2
1, 2 | x = 1 or x = 2
\pm 2 | 2, -2
3 \pm \sqrt{2} | 3+\sqrt{2}, 3-\sqrt{2}
\emptyset | ∅
\emptyset | \{\}
\{\} | \varnothing
x = 1, y = 2 | y = 2, x = 1
p=1,q=2 | q=2,p=1
p=1,q=2 | p=\frac{2}{2}, q=2
-1, 0, 1 | 1, 0, -1
tuples
(1, 2) | (1,2)
(1, 2) | \left( 1, 2 \right)
(\frac{1}{2}, 3) | (0.5, 3)
(3, \frac{\pi}{2}) | (3, \pi/2)
(1,2,3) | (1, 2, 3)
(x, y) = (1, 2) | (1, 2)
matrices
\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix} | \begin{pmatrix}1&2\\3&4\end{pmatrix}
\begin{pmatrix} 1/2 \\ 2 \end{pmatrix} | \begin{bmatrix} 0.5 \\ 2 \end{bmatrix}
\begin{pmatrix} \sqrt{4} & 0 \\ 0 & 1 \end{pmatrix} | \begin{pmatrix} 2 & 0 \\ 0 & 1 \end{pmatrix}
words
\text{Monday} | Monday
\text{Monday} | monday
\text{even} | even.
Evelyn | \text{Evelyn}
\text{(A)} | A
\text{no solution} | No solution
dates, times, ratios, bases, ordinals
3:2 | 3 : 2
12:30 | 12:30
1/2/2024 | 1/2/2024
2024-01-02 | 2024-01-02
101_2 | 101_{2}
4^{\text{th}} | 4^\text{th}
3rd | 3rd
wrapping
7 | $7$
7 | \(7\)
7 | \[7\]
7 | 7.
7 | \text{7}
7 | \mathbf{7}
\frac{1}{2} | $\frac{1}{2}$
x+1 | \left(x+1\right)
7 | `7`
5 | {5}
5 | {x = 5}
not worked out
5 | 2 + 3
391 | 17 \cdot 23
\frac{1}{2} | \frac{1}{4} + \frac{1}{4}
[1, 2] | 1 \le x \le 2
10^{100} | 10^{99} \cdot 10
"""

DIFFERENT = r"""
fractions
\frac{1}{2} | \frac{1}{3}
\frac{1}{2} | 2
\frac{1}{3} | 0.333
\frac{1}{3} | 0.333333
\frac{1}{3} | 0.3333333333333333
\frac{2}{3} | 0.67
\frac{1}{2} | 12
\frac{1}{2} | \frac{-1}{2}
\frac{22}{7} | \pi
\frac{1}{90} | 0.0\overline{7}
mixed numbers
1\frac{1}{2} | \frac{1}{2}
2\frac{1}{2} | 1
11/2 | 1\frac{1}{2}
1 1/2 | 11/2
percent
0.5 | 50\%
50\% | 0.5
50\% | 5
50\% | 50 cm
1 | 100\%
units
5\text{ cm} | 5\text{ m}
5 cm | 5 km
5\text{ cm} | 5\text{ cm}^2
5\text{ m} | 5 s
5 | 5 y
5 | 5m
5 | 5 m^2
5 m | 5
\$5 | 5 cents
\$5 | €5
5 | 5 million
5 | 5 dozen
5 hundred | 5
5 | 5 or 6
5 | 5 to 6
5 | 5 or more
5 | not 5
90^\circ | 90 percent
5 | 5x
5 | 5 x
5m | 5
3 | 3 halves
3 | three quarters
5 | 5 wrong
5 | 5 \text{ no}
5 | 5\text{ units, or six}
5 | 5\text{ (or six)}
5 | 5 apples six pears
5 | 5 \text{ maybe}
5 | 5 Or Six
5 | 5 unless it rains
5 | 5 is not the answer
5 | 5 apples that she gave to him
12 | 12 \text{ or thirteen}
12 | 12 \text{ and a half}
12 | 12 \text{ thirteenths}
money and thousands
1,234 | 1.234
1,234 | 234
1,080 | 1,800
1234 | (1,234)
1,2 | 12
10,000 | 10
1,23 | 123
1 23 | 123
123 45 | 12345
1000 | 1\,00
1000 | 1 0000
1,000 | 1,\!00
roots
\sqrt{2} | 1.414
\sqrt{2} | 1.41421356237
\sqrt{2} | 1.414213562373095048801688724
\sqrt{12} | 3\sqrt{2}
\sqrt{2}+\sqrt{3} | \sqrt{5}
\sqrt{x^2} | x
\sqrt[3]{9} | \sqrt{9}
\sqrt{4} | \pm 2
pi and e
\pi | 3.14
\pi | 3.14159265358979
\pi | 3.141592653589793238462643383279
2\pi | 2p
2\pi | 2
e | 2.718281828459045
e^{\pi\sqrt{163}} | 262537412640768744
\ln 4 | \ln 2
signs
5 | -5
-5 | 5
x-y | y-x
(-2)^2 | -4
-2^2 | 4
3-10 | 10-3
scientific notation
3 \times 10^4 | 3 \times 10^5
3 \times 10^4 | 304
10^{-20} | 0
0 | 10^{-30}
10^{20} | 10^{20}+1
10^{300} | 10^{300}+1
\pi | \pi + 10^{-50}
1.5e3 | 1.5e2
1.5 \times 10^3 | 1.5
polynomials
x^2+1 | (x+1)^2
x | y
x | X
A | a
2x | x^2
x^2 | x_2
x^10 | x \cdot 10
x^{10} | x^{1}0
x | x'
ab | a+b
xy | x
\sin x | \sin y
\cos 60 | \cos 60^\circ
\cos 60^\circ | \cos 60
\sin 30^\circ | \cos 30^\circ
\sin^2 x | \sin(x^2)
|x| | x
x^2 | 4
f(x) | f(y)
\frac{x}{x} | x
n! | n
a_1 | a_2
(x+y)^2 | x^2+y^2
equations
5 | x + 1 = 5
5 | x = 6
x = 5 | y = 5
x = 5 | x = -5
y = 2x+3 | y = 2x-3
y = 2x+3 | 2x + y = 3
x = x + 1 | x = x + 2
x^2 = 4 | x = 2
x + y = 1 | x + y = 2
x = 5 | x > 5
x^2 + y^2 = 4 | x^2 + y^2 = 2
5 | x \ne 5
5 | 6 = 5
5 | 5 = 6 = 5
5 | x = 6 = 5
5 | x = 2 + 2 = 5
1 | 0=1
x = 5 | 6 = 5
5 | x \in 5
\frac{1}{2} | x \in \frac{1}{2}
2\pi | x \in 2\pi
5 | 5\ldots
5 | 5...
0.333 | 0.333...
5 | 5\cdots
5 | 5'
5 | (5)'
5 | 5^{\prime}
inequalities and intervals
(2, 5] | (2, 5)
(2, 5) | [2, 5]
(2, \infty) | x < 2
x > 2 | x \ge 2
x > 2 | y > 2
1 < x < 3 | (1, 3]
(-\infty, 0) \cup (1, \infty) | (-\infty, 0)
(-\infty, 0) \cup (1, \infty) | (-\infty, 0) \cap (1, \infty)
(2, 5) | (5, 2)
(2, 5) | 2, 5
(0, \infty) | \infty
x \le 3 | 3
x + y < 2 | x + y > 2
x + y < 2 | -x - y < -2
sets and lists
\{1, 2\} | \{1, 3\}
\{1, 2\} | (1, 2)
\{1, 2\} | [1, 2]
1, 2 | 1
1, 2 | 1, 2, 3
1 | 1, 2
\{1, 2\} | \{1\}
\pm 2 | 2
\pm 2 | -2
1, 1, 2 | 1, 2, 2
3 \pm \sqrt{2} | 3 + \sqrt{2}
\{0\} | \emptyset
0 | \emptyset
x = 1, y = 2 | x = 2, y = 1
x = 1, y = 2 | 2, 1
x = 1, y = 2 | y = 1, x = 2
x = 1, y = 2 | y = 2, x = 1, z = 3
x = 1, y = 2 | x = 1, x = 2
x = 1, y = 2 | x = 1, y > 2
x = 1, x = 3, y = 2 | y = 2, x = 3
p=1,q=2 | q=2
\{0\} | \{\}
\emptyset | \{\emptyset\}
\{5\} | 5
2, 3, 5 | 30
tuples
(1, 2) | (2, 1)
(1, 2) | 1, 2
(1, 2) | (1, 2, 3)
(1, 2) | 1.2
(1, 2) | 12
(1, 2) | \langle 1, 3 \rangle
(1, 2) | \begin{pmatrix} 1 \\ 2 \end{pmatrix}
(1,2), (3,4) | (1,2), (4,3)
matrices
\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix} | \begin{pmatrix} 1 & 3 \\ 2 & 4 \end{pmatrix}
\begin{pmatrix} 1 & 2 \end{pmatrix} | \begin{pmatrix} 1 \\ 2 \end{pmatrix}
\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix} | \begin{vmatrix} 1 & 2 \\ 3 & 4 \end{vmatrix}
\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix} | -2
\begin{pmatrix} 1 & 2 & 3 & 4 \end{pmatrix} | \begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}
words
\text{east} | \text{seat}
\text{Monday} | Tuesday
\text{even} | odd
\text{yes} | no
A | B
\text{no solution} | 0
east | west
\text{even} | \text{not even}
dog | god
no | on
52 | 5²
54 | 5⁴
4 | ④
x2 | x₂
dates, times, ratios, bases, ordinals
2024-01-02 | 2021
1/2/2024 | \frac{1}{4048}
1/2/2024 | 2/1/2024
3:2 | 2:3
3:2 | 32
12:30 | 1230
12:30 \text{ pm} | 12:30 \text{ am}
101_2 | 101
101_2 | 101_3
101_2 | 5_{3}
3rd | 4th
2nd | 2n
empty and malformed
7 | \frac{7}{
7 | \frac{7}
\frac{1}{2} | \frac{1}{
\sqrt{2} | \sqrt{2
7 | }
7 | \boxed{}
7 | ()
7 | ?
7 | \text{}
7 | NaN
7 | 7/0
0 | 1/0
\infty | -\infty
\infty | 1/0
code and prose
5 | print(5)
5 | x == 5
5 | lambda: 5
5 | 5; 6
5 | int("5")
5 | I think it is 5 or so
9 | 9 9
12 | 1 2
7 | 3 7
24 | 2 4
6 | 2 3
6 | 1 2 3
x+1 | x+1+\epsilon
\frac{1}{2} | \frac{1}{2}\frac{1}{2}
9^{9^{9^9}} | 9^{9^{9^8}}
"""

KNOWN_FALSE_REJECTS = r"""
5\text{ cm} | 5 centimeters
3 | 3rd
1:2 | 2:4
50 cents | \$0.50
90^\circ | \frac{\pi}{2}
\{x : x > 2\} | (2, \infty)
\mathbb{R} | (-\infty, \infty)
five | 5
"""


def pairs(table: str) -> list[tuple[str, str]]:
    """(gold, answer) of every line that holds a pair."""
    return [(gold, answer) for gold, bar, answer in (line.rpartition(" | ") for line in table.splitlines()) if bar]
