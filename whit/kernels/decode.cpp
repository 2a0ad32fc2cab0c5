// One token more of each sequence, through the whole decoder in one call: no dispatch, no allocation and no thread that is
// woken between its operators. Weights lie in the order in which they are read: a processor fetches one stream from memory
// more than twice as fast as four.

#include "cpu.h"

#include <omp.h>

constexpr int COLUMNS = 32, ROWS = 8;  // of a product that are computed together: their sums stay in registers

struct Layer {
    const bf16 *norm, *q, *k, *v, *q_bias, *k_bias, *v_bias, *q_norm, *k_norm, *o, *mlp_norm, *gate, *up, *down;
    bf16 *keys, *values;  // [slots, kv_heads, length, size]
};

struct Model {
    const bf16 *embedding, *norm, *head, *cosine, *sine;  // the last two [positions, size]
    int64_t layers, width, heads, kv_heads, size, inner, vocabulary;
    float eps, scale;
};

#define EACH_OF(index, count) _Pragma("GCC unroll 8") for (int index = 0; index < (count); index++)

// sums [R, COLUMNS] of x [R, inputs] times one block of packed weights: for every two inputs, these two of each column.
template <int R>
static inline void tile(const bf16 *x, const bf16 *w, int64_t inputs, float sums[ROWS][COLUMNS]) {
#ifdef __AVX512BF16__
    __m512 low[R], high[R];
    EACH_OF(i, R) low[i] = high[i] = _mm512_setzero_ps();
    for (int64_t k = 0; k < inputs; k += 2, w += 2 * COLUMNS) {
        const __m512bh a = (__m512bh)_mm512_loadu_si512(w), b = (__m512bh)_mm512_loadu_si512(w + COLUMNS);
        EACH_OF(i, R) {
            int32_t two;
            memcpy(&two, x + i * inputs + k, 4);
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
            const float first = wide(x[i * inputs + k]), second = wide(x[i * inputs + k + 1]);
            EACH(j, COLUMNS) sums[i][j] += first * wide(w[2 * j]) + second * wide(w[2 * j + 1]);
        }
#endif
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
            switch (count) {
                case 1: tile<1>(in, w, inputs, sums); break;
                case 2: tile<2>(in, w, inputs, sums); break;
                case 3: tile<3>(in, w, inputs, sums); break;
                case 4: tile<4>(in, w, inputs, sums); break;
                case 5: tile<5>(in, w, inputs, sums); break;
                case 6: tile<6>(in, w, inputs, sums); break;
                case 7: tile<7>(in, w, inputs, sums); break;
                default: tile<8>(in, w, inputs, sums);
            }
            for (int i = 0; i < count; i++) write(m + i, column, sums[i], columns);
        }
    }
}

// w [outputs, inputs] in the order in which `product` reads it; the columns of the last block are filled with zeros.
// inputs is even.
extern "C" void pack(const bf16 *w, bf16 *packed, int64_t outputs, int64_t inputs, int threads) {
    #pragma omp parallel for num_threads(threads) if (threads > 1)
    for (int64_t block = 0; block < (outputs + COLUMNS - 1) / COLUMNS; block++) {
        bf16 *out = packed + block * COLUMNS * inputs;
        for (int64_t k = 0; k < inputs; k += 2)
            for (int64_t n = block * COLUMNS; n < (block + 1) * COLUMNS; n++, out += 2)
                for (int half = 0; half < 2; half++) out[half] = n < outputs ? w[n * inputs + k + half] : 0;
    }
}

// tokens, positions [rows]: slot i of the caches is row i's. logits [rows, vocabulary].
extern "C" void decode(const Model *model, const Layer *layers, const int64_t *tokens, const int64_t *positions, bf16 *logits,
                       int64_t rows, int64_t length, int threads) {
    const Model &m = *model;
    const int64_t queries = m.heads * m.size, keys = m.kv_heads * m.size, group = m.heads / m.kv_heads;
    std::vector<bf16> hidden(rows * m.width), normed(rows * m.width), q(rows * queries), k(rows * keys), v(rows * keys),
        attended(rows * queries), inner(rows * m.inner);
    bf16 *x = hidden.data(), *y = normed.data();
    auto *attend = m.size == 64 ? one_head<64> : m.size == 128 ? one_head<128> : m.size == 32 ? one_head<32> : one_head<0>;
    const auto project = [&](const bf16 *w, const bf16 *bias, bf16 *out, int64_t outputs, int thread) {
        product(y, rows, m.width, w, outputs, thread, threads, [=](int64_t i, int64_t column, const float *sums, int64_t count) {
            bf16 *row = out + i * outputs + column;
            EACH(j, count) row[j] = narrow(bias ? sums[j] + wide(bias[column + j]) : sums[j]);
        });
    };
    const auto add = [&](const bf16 *in, const bf16 *w, int64_t inputs, int thread) {
        product(in, rows, inputs, w, m.width, thread, threads, [=](int64_t i, int64_t column, const float *sums, int64_t count) {
            bf16 *row = x + i * m.width + column;
            EACH(j, count) row[j] = narrow(wide(row[j]) + rounded(sums[j]));
        });
    };
    #pragma omp parallel num_threads(threads)
    {
        std::vector<float> score(group * length);
        const int thread = omp_get_thread_num();
        #pragma omp for
        for (int64_t i = 0; i < rows; i++) memcpy(x + i * m.width, m.embedding + tokens[i] * m.width, m.width * sizeof(bf16));
        for (int64_t l = 0; l < m.layers; l++) {
            const Layer &at = layers[l];
            #pragma omp for
            for (int64_t i = 0; i < rows; i++) norm_row(x + i * m.width, at.norm, y + i * m.width, m.width, m.eps);
            project(at.q, at.q_bias, q.data(), queries, thread);
            project(at.k, at.k_bias, k.data(), keys, thread);
            project(at.v, at.v_bias, v.data(), keys, thread);
            #pragma omp barrier
            #pragma omp for schedule(dynamic, 1)
            for (int64_t task = 0; task < rows * m.kv_heads; task++) {
                const int64_t row = task / m.kv_heads, head = task % m.kv_heads, last = positions[row];
                const bf16 *cosine = m.cosine + last * m.size, *sine = m.sine + last * m.size;
                bf16 *own_q = q.data() + task * group * m.size, *own_k = k.data() + task * m.size;
                for (int64_t g = 0; g <= group; g++) {  // the queries, and then their key
                    bf16 *one = g < group ? own_q + g * m.size : own_k;
                    const bf16 *weight = g < group ? at.q_norm : at.k_norm;
                    if (weight) {
                        bf16 plain[MAX_SIZE];
                        memcpy(plain, one, m.size * sizeof(bf16));
                        norm_row(plain, weight, one, m.size, m.eps);
                    }
                    rotate_head(one, cosine, sine, one, m.size / 2, 1.0f);
                }
                bf16 *row_keys = at.keys + task * length * m.size, *row_values = at.values + task * length * m.size;
                memcpy(row_keys + last * m.size, own_k, m.size * sizeof(bf16));
                memcpy(row_values + last * m.size, v.data() + task * m.size, m.size * sizeof(bf16));
                attend(own_q, row_keys, row_values, attended.data() + task * group * m.size, score.data(), group, 0, last,
                       length, m.size, m.scale);
            }
            add(attended.data(), at.o, queries, thread);
            #pragma omp barrier
            #pragma omp for
            for (int64_t i = 0; i < rows; i++) norm_row(x + i * m.width, at.mlp_norm, y + i * m.width, m.width, m.eps);
            project(at.gate, nullptr, inner.data(), m.inner, thread);
            product(y, rows, m.width, at.up, m.inner, thread, threads,
                    [&](int64_t i, int64_t column, const float *sums, int64_t count) {
                        bf16 *row = inner.data() + i * m.inner + column;
                        EACH(j, count) row[j] = narrow(gated(wide(row[j]), rounded(sums[j])));
                    });
            #pragma omp barrier
            add(inner.data(), at.down, m.inner, thread);
            #pragma omp barrier
        }
        #pragma omp for
        for (int64_t i = 0; i < rows; i++) norm_row(x + i * m.width, m.norm, y + i * m.width, m.width, m.eps);
        project(m.head, nullptr, logits, m.vocabulary, thread);
    }
}
