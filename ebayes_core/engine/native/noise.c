/* Random numbers of a step: Philox4x32-10 (Salmon et al. 2011), a function of a key and a counter.

   Block b of a draw gives the elements b, b + blocks, b + 2 blocks and b + 3 blocks, so that all are written in a row.
   The same in tensor operations: philox.py. */

#define BLOCK 64

/* the words of BLOCK blocks, w[0..BLOCK) the first of each; whole arrays in each round, which vectorises */
static void philox(uint32_t from, uint64_t draw, uint32_t k0, uint32_t k1, uint32_t *restrict w) {
    uint32_t *restrict c0 = w, *restrict c1 = w + BLOCK, *restrict c2 = w + 2 * BLOCK, *restrict c3 = w + 3 * BLOCK;
    for (uint32_t i = 0; i < BLOCK; i++) c0[i] = from + i, c1[i] = (uint32_t)draw, c2[i] = (uint32_t)(draw >> 32), c3[i] = 0;
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < BLOCK; i++) {
            uint64_t a = (uint64_t)0xD2511F53u * c0[i], b = (uint64_t)0xCD9E8D57u * c2[i];
            uint32_t x = (uint32_t)(b >> 32) ^ c1[i] ^ k0, y = (uint32_t)(a >> 32) ^ c3[i] ^ k1;
            c0[i] = x, c1[i] = (uint32_t)b, c2[i] = y, c3[i] = (uint32_t)a;
        }
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
}

/* (k + 1/2) / 2^23, exactly: never 0 nor 1 */
static inline float open_unit(uint32_t w) { return ((float)(int32_t)(w >> 9) + 0.5f) * 0x1p-23f; }

/* Box and Muller: the radius from one word, the angle in quarter turns from another */
static inline void box_muller(uint32_t first, uint32_t second, float *restrict x, float *restrict y) {
    float radius = __builtin_sqrtf(-2 * log_f(open_unit(first)));
    float turn = open_unit(second) * 4, quarter = __builtin_rintf(turn);
    float z = (turn - quarter) * 1.57079633f, s = z * z;
    float sine = z + z * s * (-1.6666654611e-1f + s * (8.3321608736e-3f + s * -1.9515295891e-4f));
    float cosine = 1 - 0.5f * s + s * s * (4.166664568298827e-2f + s * (-1.388731625493765e-3f + s * 2.443315711809948e-5f));
    int32_t q = (int32_t)quarter;
    float c = q & 1 ? sine : cosine, d = q & 1 ? cosine : sine;
    *x = radius * ((q + 1) & 2 ? -c : c);
    *y = radius * (q & 2 ? -d : d);
}

static void normal_blocks(float *restrict out, long blocks, long from, long n, uint64_t draw, uint32_t k0, uint32_t k1) {
    uint32_t w[4 * BLOCK];
    float x[4 * BLOCK];
    philox((uint32_t)from, draw, k0, k1, w);
    for (int half = 0; half < 2; half++)
        for (int i = 2 * half * BLOCK; i < (2 * half + 1) * BLOCK; i++)
            box_muller(w[i], w[i + BLOCK], x + i, x + i + BLOCK);
    for (int part = 0; part < 4; part++)
        for (long i = 0; i < n; i++) out[part * blocks + i] = x[part * BLOCK + i];
}

static void uniform_blocks(float *restrict out, long blocks, long from, long n, uint64_t draw, uint32_t k0, uint32_t k1) {
    uint32_t w[4 * BLOCK];
    philox((uint32_t)from, draw, k0, k1, w);
    for (int part = 0; part < 4; part++)
        for (long i = 0; i < n; i++) out[part * blocks + i] = (float)(int32_t)(w[part * BLOCK + i] >> 8) * 0x1p-24f;
}

/* out has room for 4 * blocks elements */
void noise(float *out, long blocks, uint64_t draw, uint32_t k0, uint32_t k1, int normal, int threads) {
    #pragma omp parallel for num_threads(threads) schedule(static)
    for (long from = 0; from < blocks; from += BLOCK) {
        long n = blocks - from < BLOCK ? blocks - from : BLOCK;
        (normal ? normal_blocks : uniform_blocks)(out + from, blocks, from, n, draw, k0, k1);
    }
}
