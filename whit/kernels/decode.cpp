// One token more of each sequence, through the whole decoder in one call: no dispatch, no allocation and no thread that is
// woken between its operators. Weights lie in the order in which they are read: a processor fetches one stream from memory
// more than twice as fast as four.

#include <omp.h>

#include "heads.h"
#include "product.h"

struct Layer {
    const bf16 *norm, *q, *k, *v, *q_bias, *k_bias, *v_bias, *q_norm, *k_norm, *o, *mlp_norm, *gate, *up, *down;
    bf16 *keys, *values;  // [slots, kv_heads, length, size]
};

struct Model {
    const bf16 *embedding, *norm, *head, *cosine, *sine;  // the last two [positions, size]
    int64_t layers, width, heads, kv_heads, size, inner, vocabulary;
    float eps, scale;
};

// w [outputs, inputs] in the order in which `product` reads it; the last block is filled with zeros. inputs is even.
extern "C" void pack(const bf16 *w, bf16 *packed, int64_t outputs, int64_t inputs, int threads) {
    #pragma omp parallel for num_threads(threads) if (threads > 1)
    for (int64_t block = 0; block < (outputs + COLUMNS - 1) / COLUMNS; block++) {
        pack_block(packed + block * COLUMNS * inputs, inputs, [=](int64_t column, int64_t k) -> bf16 {
            const int64_t n = block * COLUMNS + column;
            return n < outputs ? w[n * inputs + k] : 0;
        });
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
    const auto project = [&](const bf16 *w, const bf16 *bias, bf16 *out, int64_t outputs, int part, int parts) {
        product(y, rows, m.width, w, outputs, part, parts, [=](int64_t i, int64_t column, const float *sums, int64_t count) {
            bf16 *row = out + i * outputs + column;
            EACH(j, count) row[j] = narrow(bias ? sums[j] + wide(bias[column + j]) : sums[j]);
        });
    };
    const auto add = [&](const bf16 *in, const bf16 *w, int64_t inputs, int part, int parts) {
        product(in, rows, inputs, w, m.width, part, parts, [=](int64_t i, int64_t column, const float *sums, int64_t count) {
            bf16 *row = x + i * m.width + column;
            EACH(j, count) row[j] = narrow(wide(row[j]) + rounded(sums[j]));
        });
    };
    #pragma omp parallel num_threads(threads)
    {
        std::vector<float> score(group * length);
        const int part = omp_get_thread_num(), parts = omp_get_num_threads();  // the system may grant fewer than asked for
        #pragma omp for
        for (int64_t i = 0; i < rows; i++) memcpy(x + i * m.width, m.embedding + tokens[i] * m.width, m.width * sizeof(bf16));
        for (int64_t l = 0; l < m.layers; l++) {
            const Layer &at = layers[l];
            #pragma omp for
            for (int64_t i = 0; i < rows; i++) norm_row(x + i * m.width, at.norm, y + i * m.width, m.width, m.eps);
            project(at.q, at.q_bias, q.data(), queries, part, parts);
            project(at.k, at.k_bias, k.data(), keys, part, parts);
            project(at.v, at.v_bias, v.data(), keys, part, parts);
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
            add(attended.data(), at.o, queries, part, parts);
            #pragma omp barrier
            #pragma omp for
            for (int64_t i = 0; i < rows; i++) norm_row(x + i * m.width, at.mlp_norm, y + i * m.width, m.width, m.eps);
            project(at.gate, nullptr, inner.data(), m.inner, part, parts);
            product(y, rows, m.width, at.up, m.inner, part, parts,
                    [&](int64_t i, int64_t column, const float *sums, int64_t count) {
                        bf16 *row = inner.data() + i * m.inner + column;
                        EACH(j, count) row[j] = narrow(gated(wide(row[j]), rounded(sums[j])));
                    });
            #pragma omp barrier
            add(inner.data(), at.down, m.inner, part, parts);
            #pragma omp barrier
        }
        #pragma omp for
        for (int64_t i = 0; i < rows; i++) norm_row(x + i * m.width, m.norm, y + i * m.width, m.width, m.eps);
        project(m.head, nullptr, logits, m.vocabulary, part, parts);
    }
}
