// Divergences between two distributions over a vocabulary, from bfloat16 logits: three passes over a pair of rows for the
// value, one for the gradient, and no copies. The definitions are in whit/objectives.
//
// With a = log q and b = log p a value is the sum of f(a, b), and with h the derivative of f by a, the gradient of a logit
// is h - q sum(h).

#include "cpu.h"

enum { FORWARD, REVERSE, SYMMETRIC, JSD, SKEW, SKEW_REVERSE, VARIATION, TAID };

static inline float logarithm(float x) {  // of a positive normal float (Cephes' logf); relative error 1e-7
    uint32_t bits;
    memcpy(&bits, &x, 4);
    float e = float(int32_t(bits >> 23) - 126);
    bits = (bits & 0x007fffff) | 0x3f000000;
    float m;
    memcpy(&m, &bits, 4);
    const float low = m < 0.707106781186547524f ? 1.0f : 0.0f;
    e -= low;
    m = m + low * m - 1.0f;
    const float z = m * m;
    float y = 7.0376836292e-2f;
    y = y * m - 1.1514610310e-1f;
    y = y * m + 1.1676998740e-1f;
    y = y * m - 1.2420140846e-1f;
    y = y * m + 1.4249322787e-1f;
    y = y * m - 1.6668057665e-1f;
    y = y * m + 2.0000714765e-1f;
    y = y * m - 2.4999993993e-1f;
    y = y * m + 3.3333331174e-1f;
    y = y * m * z - 2.12194440e-4f * e - 0.5f * z;
    return m + y + 0.693359375f * e;
}

struct Setting {
    float inverse, share, detached;  // of the temperature; alpha, beta or t; 1 where a mixture carries no gradient
};

// Value and derivative at one token. `target` is the third normaliser, of TAID.
template <int kind>
static inline void point(float a, float b, float target, Setting set, float &f, float &h) {
    const float q = exponential(a), p = exponential(b), s = set.share;
    if constexpr (kind == FORWARD) {
        f = p * (b - a), h = -p;
    } else if constexpr (kind == REVERSE) {
        f = q * (a - b), h = f + q;
    } else if constexpr (kind == SYMMETRIC) {
        const float r = q * (a - b);
        f = (1 - s) * p * (b - a) + s * r, h = s * (r + q) - (1 - s) * p;
    } else if constexpr (kind == JSD) {
        const float m = logarithm(s * p + (1 - s) * q);
        h = (1 - s) * q * (a - m), f = s * p * (b - m) + h;
    } else if constexpr (kind == SKEW) {
        const float m = s * p + (1 - s) * q;
        f = p * (b - logarithm(m)), h = -p * (1 - s) * q / m;
    } else if constexpr (kind == SKEW_REVERSE) {
        const float m = (1 - s) * p + s * q;
        f = q * (a - logarithm(m)), h = f + q - (1 - set.detached) * s * q * q / m;
    } else if constexpr (kind == VARIATION) {
        const float sign = (p > q ? 1.0f : 0.0f) - (p < q ? 1.0f : 0.0f);
        f = 0.5f * sign * (p - q), h = -0.5f * sign * q;
    } else {
        const float w = exponential(std::max((1 - s) * a + s * b - target, LEAST));
        f = -w * a, h = -w;
    }
}

static inline float normaliser_of(Row x, int64_t size, float inverse) {
    int16_t largest = ordered(int16_t(0xff80));  // minus infinity
    for (int64_t j = 0; j < size; j++) largest = std::max(largest, ordered(int16_t(x[j])));
    const float most = wide(bf16(ordered(largest))) * inverse;
    float total = 0;
    for (int64_t j = 0; j < size; j++) total += exponential(wide(x[j]) * inverse - most);
    return most + std::log(total);
}

constexpr float RULED_OUT = -1e30f;  // instead of minus infinity: times e^-87, the least exponential, it is next to nothing
#define A(j) std::max(wide(x[j]) * set.inverse - norm[0], RULED_OUT)
#define B(j) std::max(wide(y[j]) * set.inverse - norm[1], RULED_OUT)

// norm [4]: both normalisers, TAID's, and the sum of h.
template <int kind>
static void forward_row(Row x, Row y, float *value, float *norm, int64_t size, Setting set) {
    norm[0] = normaliser_of(x, size, set.inverse), norm[1] = normaliser_of(y, size, set.inverse), norm[2] = 0;
    if constexpr (kind == TAID) {
        float total = 0;  // both are at most 0, and one token has at least the mean of each: the sum is no zero
        for (int64_t j = 0; j < size; j++) total += exponential((1 - set.share) * A(j) + set.share * B(j));
        norm[2] = std::log(total);
    }
    float sum = 0, slope = 0;
    const float target = norm[2];
    for (int64_t j = 0; j < size; j++) {
        float f, h;
        point<kind>(A(j), B(j), target, set, f, h);
        sum += f, slope += h;
    }
    *value = sum, norm[3] = slope;
}

template <int kind>
static void backward_row(Row x, Row y, const float *norm, Out out, int64_t size, Setting set, float scale) {
    const float target = norm[2], slope = norm[3];
    EACH(j, size) {
        float f, h;
        const float a = A(j);
        point<kind>(a, B(j), target, set, f, h);
        out[j] = narrow(scale * (h - exponential(a) * slope));
    }
}

using Forward = void (*)(Row, Row, float *, float *, int64_t, Setting);
using Backward = void (*)(Row, Row, const float *, Out, int64_t, Setting, float);
static const Forward FORWARDS[] = {
    forward_row<FORWARD>, forward_row<REVERSE>, forward_row<SYMMETRIC>, forward_row<JSD>, forward_row<SKEW>,
    forward_row<SKEW_REVERSE>, forward_row<VARIATION>, forward_row<TAID>,
};
static const Backward BACKWARDS[] = {
    backward_row<FORWARD>, backward_row<REVERSE>, backward_row<SYMMETRIC>, backward_row<JSD>, backward_row<SKEW>,
    backward_row<SKEW_REVERSE>, backward_row<VARIATION>, backward_row<TAID>,
};

// Rows of both logits have strides; values [rows], norms [rows, 4] for the backward pass.
extern "C" void divergence(const bf16 *student, const bf16 *teacher, float *values, float *norms, int64_t rows, int64_t size,
                           int64_t student_stride, int64_t teacher_stride, int64_t kind, float inverse_temperature,
                           float share, float detached, int threads) {
    const Setting set = {inverse_temperature, share, detached};
    #pragma omp parallel for num_threads(threads) if (threads > 1)
    for (int64_t i = 0; i < rows; i++)
        FORWARDS[kind](student + i * student_stride, teacher + i * teacher_stride, values + i, norms + 4 * i, size, set);
}

// scale [rows]: the gradient of each value; out [rows, size].
extern "C" void divergence_backward(const bf16 *student, const bf16 *teacher, const float *norms, const float *scale,
                                    bf16 *out, int64_t rows, int64_t size, int64_t student_stride, int64_t teacher_stride,
                                    int64_t kind, float inverse_temperature, float share, float detached, int threads) {
    const Setting set = {inverse_temperature, share, detached};
    #pragma omp parallel for num_threads(threads) if (threads > 1)
    for (int64_t i = 0; i < rows; i++)
        BACKWARDS[kind](student + i * student_stride, teacher + i * teacher_stride, norms + 4 * i, out + i * size, size, set,
                        inverse_temperature * scale[i]);
}
