// Attention of one new token: the queries that share a key head over the keys and values before it.

#pragma once

#include "cpu.h"

// For any processor and size. Where the compiler knows it, sums stay in registers.
template <int SIZE>
static void any_head(Row q, Row keys, Row values, Out out, float *__restrict score, int64_t group, int64_t first,
                     int64_t last, int64_t length, int64_t any_size, float scale) {
    constexpr int64_t BLOCK = 64;  // keys that stay in the nearest cache while the queries pass over them
    const int64_t size = SIZE ? SIZE : any_size;
    for (int64_t start = first; start <= last; start += BLOCK)
        for (int64_t g = 0; g < group; g++)
            for (int64_t t = start; t <= std::min(last, start + BLOCK - 1); t++)
                score[g * length + t] = dot(q + g * size, keys + t * size, size) * scale;
    for (int64_t g = 0; g < group; g++) {
        float *__restrict s = score + g * length, most = -INFINITY, total = 0;
        for (int64_t t = first; t <= last; t++) most = std::max(most, s[t]);
        for (int64_t t = first; t <= last; t++) s[t] = exponential(s[t] - most), total += s[t];
        for (int64_t t = first; t <= last; t++) s[t] /= total;
    }
    std::vector<float> sums(group * size);
    for (int64_t start = first; start <= last; start += BLOCK)
        for (int64_t g = 0; g < group; g++) {
            float sum[SIZE ? SIZE : MAX_SIZE];
            for (int64_t j = 0; j < size; j++) sum[j] = sums[g * size + j];
            for (int64_t t = start; t <= std::min(last, start + BLOCK - 1); t++)
                for (int64_t j = 0; j < size; j++) sum[j] += score[g * length + t] * wide(values[t * size + j]);
            for (int64_t j = 0; j < size; j++) sums[g * size + j] = sum[j];
        }
    for (int64_t j = 0; j < group * size; j++) out[j] = narrow(sums[j]);
}

#ifdef __AVX512BF16__

static inline __m512 crossed(__m512 a, __m512 b) {  // four sums of four lanes: the pairs of a, then those of b
    return _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xdd));
}

// Of 16 vectors the sum of each: neighbours are added crosswise, four times.
static inline __m512 sums_of(__m512 x[16]) {
    EACH_OF(i, 8) {
        const __m512 a = x[2 * i], b = x[2 * i + 1];
        x[i] = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
    }
    EACH_OF(i, 4) {
        const __m512d a = _mm512_castps_pd(x[2 * i]), b = _mm512_castps_pd(x[2 * i + 1]);
        x[i] = _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(a, b)), _mm512_castpd_ps(_mm512_unpackhi_pd(a, b)));
    }
    return crossed(crossed(x[0], x[1]), crossed(x[2], x[3]));
}

// The sums of G queries over values [., SIZE]: two tokens at a time, their values interleaved as their weights are.
// weights [G, stride], one behind `last` is zero.
template <int SIZE, int G>
static void gather(const bf16 *weights, int64_t stride, Row values, int64_t first, int64_t last, const float *inverse,
                   Out out) {
    constexpr int PARTS = SIZE / 32;
    __m512 sums[G][PARTS][2];
    EACH_OF(g, G) EACH_OF(p, PARTS) sums[g][p][0] = sums[g][p][1] = _mm512_setzero_ps();
    for (int64_t t = first; t <= last; t += 2) {
        const bf16 *one = values + t * SIZE, *two = values + std::min(t + 1, last) * SIZE;
        EACH_OF(p, PARTS) {
            const __m512i a = _mm512_loadu_si512(one + 32 * p), b = _mm512_loadu_si512(two + 32 * p);
            const __m512bh low = (__m512bh)_mm512_unpacklo_epi16(a, b), high = (__m512bh)_mm512_unpackhi_epi16(a, b);
            EACH_OF(g, G) {
                int32_t pair;
                memcpy(&pair, weights + g * stride + t, 4);
                const __m512bh both = (__m512bh)_mm512_set1_epi32(pair);
                sums[g][p][0] = _mm512_dpbf16_ps(sums[g][p][0], both, low);
                sums[g][p][1] = _mm512_dpbf16_ps(sums[g][p][1], both, high);
            }
        }
    }
    EACH_OF(g, G) EACH_OF(p, PARTS) {
        float mixed[32];
        _mm512_storeu_ps(mixed, sums[g][p][0]), _mm512_storeu_ps(mixed + 16, sums[g][p][1]);
        EACH(j, 32) out[g * SIZE + 32 * p + j] = narrow(mixed[(j & 4) * 4 + (j >> 3) * 4 + (j & 3)] * inverse[g]);
    }
}

// Scores of 16 keys at a time, in float32; weights rounded to bfloat16, as in training (attention.cpp).
template <int SIZE>
static void fast_head(Row q, Row keys, Row values, Out out, float *score, int64_t group, int64_t first, int64_t last,
                      int64_t length, float scale) {
    constexpr int PARTS = SIZE / 32, MOST = 8 / PARTS;  // queries whose sums of values stay in registers
    static thread_local std::vector<bf16> weights;
    weights.resize(std::max<size_t>(weights.size(), MOST * (length + 1)));
    float inverse[MOST];
    for (int64_t start = first; start <= last; start += 16)
        for (int64_t g = 0; g < group; g++) {
            __m512bh own[PARTS];
            EACH_OF(p, PARTS) own[p] = (__m512bh)_mm512_loadu_si512(q + g * SIZE + 32 * p);
            __m512 sums[16];
            EACH_OF(i, 16) {
                const bf16 *key = keys + std::min(start + i, last) * SIZE;
                sums[i] = _mm512_setzero_ps();
                EACH_OF(p, PARTS) sums[i] = _mm512_dpbf16_ps(sums[i], own[p], (__m512bh)_mm512_loadu_si512(key + 32 * p));
            }
            const __mmask16 seen = last - start >= 15 ? 0xffff : __mmask16((1 << (last - start + 1)) - 1);
            _mm512_mask_storeu_ps(score + g * length + start, seen, sums_of(sums));
        }
    for (int64_t from = 0; from < group; from += MOST) {
        const int count = int(std::min<int64_t>(MOST, group - from));
        for (int g = 0; g < count; g++) {
            float *__restrict s = score + (from + g) * length, most = -INFINITY, total = 0;
            for (int64_t t = first; t <= last; t++) most = std::max(most, s[t]);
            for (int64_t t = first; t <= last; t++) s[t] = exponential((s[t] - most) * scale), total += s[t];
            bf16 *__restrict w = weights.data() + g * (length + 1);
            for (int64_t t = first; t <= last; t++) w[t] = narrow(s[t]);
            w[last + 1] = 0;
            inverse[g] = 1.0f / total;
        }
        const auto run = [&](auto each, int from_g) {
            each(weights.data() + from_g * (length + 1), length + 1, values, first, last, inverse + from_g,
                 out + (from + from_g) * SIZE);
        };
        switch (count) {
            case 1: run(gather<SIZE, 1>, 0); break;
            case 2: run(gather<SIZE, 2>, 0); break;
            case 3: run(gather<SIZE, std::min(3, MOST)>, 0); break;
            case 4: run(gather<SIZE, std::min(4, MOST)>, 0); break;
            default: for (int g = 0; g < count; g++) run(gather<SIZE, 1>, g);
        }
    }
}

#endif

// Softmax attention of the `group` queries that share a key head over keys and values [., size] from `first` to `last`.
// SIZE is `size` where the compiler may know it, or 0. score [group, length] is scratch.
template <int SIZE>
static void one_head(Row q, Row keys, Row values, Out out, float *__restrict score, int64_t group, int64_t first,
                     int64_t last, int64_t length, int64_t size, float scale) {
#ifdef __AVX512BF16__
    if constexpr (SIZE) return fast_head<SIZE>(q, keys, values, out, score, group, first, last, length, scale);
#endif
    any_head<SIZE>(q, keys, values, out, score, group, first, last, length, size, scale);
}
