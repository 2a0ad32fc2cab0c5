// Products of bfloat16 matrices with float32 sums, one of them packed: in the order in which it is read.

#pragma once

#include "cpu.h"

constexpr int COLUMNS = 32, ROWS = 8;  // of a product that are computed together: their sums stay in registers

// One block of packed weights: for every two inputs, these two of each of COLUMNS columns. value(column, input) gives them.
template <class Value>
static inline void pack_block(bf16 *out, int64_t inputs, Value value) {
    for (int64_t k = 0; k < inputs; k += 2)
        for (int64_t n = 0; n < COLUMNS; n++, out += 2) out[0] = value(n, k), out[1] = value(n, k + 1);
}

// sums [R, COLUMNS] of x [R, inputs], `stride` numbers from row to row, times one block of packed weights.
// FETCHES: the block behind it is brought nearer meanwhile.
template <int R, bool FETCHES = false>
static inline void tile(const bf16 *x, int64_t stride, const bf16 *w, int64_t inputs, float sums[ROWS][COLUMNS]) {
#ifdef __AVX512BF16__
    __m512 low[R], high[R];
    EACH_OF(i, R) low[i] = high[i] = _mm512_setzero_ps();
    for (int64_t k = 0; k < inputs; k += 2, w += 2 * COLUMNS) {
        if (FETCHES) {
            const bf16 *behind = w + COLUMNS * inputs;
            _mm_prefetch(behind, _MM_HINT_T1), _mm_prefetch(behind + COLUMNS, _MM_HINT_T1);
        }
        const __m512bh a = (__m512bh)_mm512_loadu_si512(w), b = (__m512bh)_mm512_loadu_si512(w + COLUMNS);
        EACH_OF(i, R) {
            int32_t two;
            memcpy(&two, x + i * stride + k, 4);
            const __m512bh both = (__m512bh)_mm512_set1_epi32(two);
            low[i] = _mm512_dpbf16_ps(low[i], both, a);
            high[i] = _mm512_dpbf16_ps(high[i], both, b);
        }
    }
    EACH_OF(i, R) _mm512_storeu_ps(sums[i], low[i]), _mm512_storeu_ps(sums[i] + COLUMNS / 2, high[i]);
#else
    memset(sums, 0, R * sizeof(sums[0]));
    for (int64_t k = 0; k < inputs; k += 2, w += 2 * COLUMNS)
        for (int i = 0; i < R; i++) {
            const float first = wide(x[i * stride + k]), second = wide(x[i * stride + k + 1]);
            EACH(j, COLUMNS) sums[i][j] += first * wide(w[2 * j]) + second * wide(w[2 * j + 1]);
        }
#endif
}

static __attribute__((noinline)) void tile_of(int count, const bf16 *x, int64_t stride, const bf16 *w, int64_t inputs,
                           float sums[ROWS][COLUMNS]) {
    switch (count) {
        case 1: tile<1>(x, stride, w, inputs, sums); break;
        case 2: tile<2>(x, stride, w, inputs, sums); break;
        case 3: tile<3>(x, stride, w, inputs, sums); break;
        case 4: tile<4>(x, stride, w, inputs, sums); break;
        case 5: tile<5>(x, stride, w, inputs, sums); break;
        case 6: tile<6>(x, stride, w, inputs, sums); break;
        case 7: tile<7>(x, stride, w, inputs, sums); break;
        default: tile<8>(x, stride, w, inputs, sums);
    }
}

// Calls write(row, first column, sums, count of them) for x [rows, inputs] times a part of packed weights.
template <class Write>
static inline void product(const bf16 *x, int64_t rows, int64_t inputs, const bf16 *packed, int64_t outputs, int part,
                           int parts, Write write) {
    const int64_t blocks = (outputs + COLUMNS - 1) / COLUMNS;
    for (int64_t block = blocks * part / parts; block < blocks * (part + 1) / parts; block++) {
        const bf16 *w = packed + block * COLUMNS * inputs;
        const int64_t column = block * COLUMNS, columns = std::min<int64_t>(COLUMNS, outputs - column);
        for (int64_t m = 0; m < rows; m += ROWS) {
            const bf16 *in = x + m * inputs;
            const int count = int(std::min<int64_t>(ROWS, rows - m));
            float sums[ROWS][COLUMNS];
            // Of several passes over a block the first waits for memory: from the second on, the next block is fetched.
            if (m && count == ROWS) tile<ROWS, true>(in, inputs, w, inputs, sums);
            else tile_of(count, in, inputs, w, inputs, sums);
            for (int i = 0; i < count; i++) write(m + i, column, sums[i], columns);
        }
    }
}
