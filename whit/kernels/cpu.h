// What the compiled operators share: bfloat16 numbers, the exponential, and the operators on one row.

#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#ifdef __AVX512BF16__
#include <immintrin.h>
#endif

constexpr int MAX_SIZE = 512;  // of a head
constexpr float LEAST = -87.0f;  // the exponential of less is not a normal float
using bf16 = uint16_t;
using Row = const bf16 *__restrict;
using Out = bf16 *__restrict;

static inline float wide(bf16 x) {
    const uint32_t bits = uint32_t(x) << 16;
    float y;
    memcpy(&y, &bits, 4);
    return y;
}

static inline bf16 narrow(float x) {  // to the nearest, ties to even; what is not a number stays none
    uint32_t bits;
    memcpy(&bits, &x, 4);
    const uint32_t nearest = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    return (bits & 0x7fffffff) > 0x7f800000 ? 0x7fc0 : bf16(nearest);
}

static inline float rounded(float x) { return wide(narrow(x)); }

// A bfloat16 and an integer of the same order, one from the other.
static inline int16_t ordered(int16_t bits) { return bits ^ ((bits >> 15) & 0x7fff); }

static inline float exponential(float x) {  // 2^n times a polynomial (Cephes' expf); relative error 2e-7
    x = std::min(std::max(x, LEAST), 88.0f);
    const float n = std::nearbyint(x * 1.44269504f);
    const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    const int32_t bits = (int32_t(n) + 127) << 23;
    float scale;
    memcpy(&scale, &bits, 4);
    return p * scale;
}

static inline float sigmoid(float x) { return 1.0f / (1.0f + exponential(-x)); }

#define EACH(index, count) _Pragma("omp simd") for (int64_t index = 0; index < (count); index++)
#define EACH_OF(index, count) _Pragma("GCC unroll 16") for (int index = 0; index < (count); index++)  // all at once

// Root-mean-square norm of one row; returns 1 / root mean square.
static inline float norm_row(Row in, Row weight, Out out, int64_t width, float eps) {
    float sum = 0;
    for (int64_t j = 0; j < width; j++) sum += wide(in[j]) * wide(in[j]);
    const float s = 1.0f / std::sqrt(sum / width + eps);
    EACH(j, width) out[j] = narrow(wide(weight[j]) * rounded(wide(in[j]) * s));
    return s;
}

static inline float dot(Row a, Row b, int64_t size) {
    float sum = 0;
    int64_t j = 0;
#ifdef __AVX512BF16__
    __m512 sums = _mm512_setzero_ps();
    for (; j + 32 <= size; j += 32)
        sums = _mm512_dpbf16_ps(sums, (__m512bh)_mm512_loadu_si512(a + j), (__m512bh)_mm512_loadu_si512(b + j));
    sum = _mm512_reduce_add_ps(sums);
#endif
    for (; j < size; j++) sum += wide(a[j]) * wide(b[j]);
    return sum;
}

static inline float gated(float gate, float up) { return rounded(gate * sigmoid(gate)) * up; }

// Rotary positions of one head; sign -1 turns back. `in` and `out` may be the same.
static inline void rotate_head(const bf16 *in, Row c, Row s, bf16 *out, int64_t half, float sign) {
    EACH(j, half) {
        const float a = wide(in[j]), b = wide(in[j + half]);
        out[j] = narrow(rounded(a * wide(c[j])) - rounded(sign * b * wide(s[j])));
        out[j + half] = narrow(rounded(b * wide(c[j + half])) + rounded(sign * a * wide(s[j + half])));
    }
}
